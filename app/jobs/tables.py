"""The rows. Times are seconds since 1970 (UTC) by the database's clock, so that machines need not agree on theirs."""

from typing import Any

from sqlalchemy import JSON
from sqlmodel import Field, SQLModel

from app.jobs.states import JobStatus


class Job(SQLModel, table=True):
    """One fine-tuning. Ids sort by the time of submission."""

    id: str = Field(primary_key=True)
    status: str = Field(default=JobStatus.QUEUED, index=True)
    config: dict[str, Any] = Field(sa_type=JSON)
    warnings: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)

    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    rung_at: float | None = None

    attempt: int = 0
    """Raised by every claim: the fencing token that each later write must carry."""
    worker_id: str | None = None
    lease_expires_at: float | None = Field(default=None, index=True)
    worker_losses: int = 0

    stage: int | None = None
    epoch: int | None = None
    progress: float = 0.0
    eta_seconds: float | None = None
    facts: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    recognition_before: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    recognition_after: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    verdict: str | None = None
    checkpoint: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    error: dict[str, Any] | None = Field(default=None, sa_type=JSON)

    event_count: int = 0
    """Number of the job's newest event. Raised under the row's lock, so that readers see events without gaps."""


class Attempt(SQLModel, table=True):
    """One claim of a job by one worker, and how it ended."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    worker_id: str
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None


class EpochMetric(SQLModel, table=True):
    """The metrics of one epoch; the fields are those of `EpochFinished` in worker/training/events.py."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    attempt: int = Field(primary_key=True)
    stage: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    epochs: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_auc: float | None = None
    head_lr: float
    backbone_lr: float | None = None
    seconds: float
    images_per_second: float
    best: bool
    created_at: float


class JobEvent(SQLModel, table=True):
    """Something that happened to a job, numbered from 1 without gaps."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    attempt: int
    kind: str
    data: dict[str, Any] = Field(sa_type=JSON)
    created_at: float


class WorkerSeen(SQLModel, table=True):
    """A worker process and when it last reported. Ids are new at each start."""

    id: str = Field(primary_key=True)
    hostname: str
    started_at: float
    seen_at: float
