"""The log of a job."""

from datetime import datetime

from pydantic import BaseModel, Field


class LogLine(BaseModel):
    number: int = Field(description="Counted from 1 for each job.")
    at: datetime
    attempt: int = Field(description="Number of the attempt that wrote it; 0 before the first.")
    level: str = Field(description="`info`, `warning`, `error` or `critical`.")
    text: str = Field(description="May have several lines, such as a traceback.")


class LogPage(BaseModel):
    lines: list[LogLine] = Field(description="Oldest first.")
    next_cursor: int = Field(description="Number of the newest line: `after` of the next request.")
    terminal: bool = Field(description="Whether the job has ended, and `lines` has its last line.")
