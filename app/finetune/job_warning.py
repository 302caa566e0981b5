"""JobWarning: a problem that does not stop a job."""

from pydantic import BaseModel


class JobWarning(BaseModel):
    """A problem of the data or the config that does not stop the job."""

    code: str
    message: str
