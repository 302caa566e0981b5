"""JobWarning: a problem that does not stop a job."""

from pydantic import BaseModel

from app.finetune.event_data import EventData


class JobWarning(EventData, BaseModel):
    """A problem of the data or the config that does not stop the job."""

    code: str
    message: str
