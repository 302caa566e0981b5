"""JobWarning: a problem that does not stop a job."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from app.finetune.errors import printable
from app.finetune.event_data import EventData


class JobWarning(EventData, BaseModel):
    """A problem of the data or the config that does not stop the job."""

    code: str
    message: Annotated[str, BeforeValidator(printable)]
