"""Events of a job."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class EventView(BaseModel):
    """An event of the job. Numbers start at 1 and have no gaps."""

    number: int
    kind: str
    attempt: int
    at: datetime
    data: dict[str, Any]


class EventPage(BaseModel):
    events: list[EventView]
    next_cursor: int = Field(description="Pass it as `after` to get the events that follow.")
    terminal: bool = Field(description="Whether the job has ended: no event follows, unless the job is retried.")
