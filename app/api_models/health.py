"""Health checks."""

from pydantic import BaseModel, Field


class Live(BaseModel):
    live: bool = True


class Ready(BaseModel):
    ready: bool = Field(description="Whether database, broker and worker are all available.")
    database: bool
    broker: bool
    worker: bool = Field(description="Whether a worker has reported recently.")
    worker_seen_seconds_ago: float | None = Field(description="null: no worker has ever reported.")
