"""Tables. Times are seconds since 1970 (UTC) by the database's clock, so that the machines' clocks do not matter."""

from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Text, UniqueConstraint, false, true
from sqlmodel import Field, SQLModel
from sqlmodel._compat import SQLModelConfig

from app.access.callers import ADMIN_OWNER
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.dataset_findings import DatasetFindings
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.gpus import GpuReport, GpuUse
from app.finetune.job_kinds import FINETUNING
from app.finetune.listing import Listing
from app.jobs.resume import ResumePoint
from app.jobs.states import JobStatus
from app.jobs.typed_json import TypedJson


class Job(SQLModel, table=True):
    """A job of any kind. Ids sort by the time of submission."""

    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key", name="uq_job_idempotency_key"),
        Index("ix_job_kind_id", "kind", "id"),
        Index("ix_job_counts", "kind", "status", "owner", "shared"),
    )

    id: str = Field(primary_key=True)
    kind: str = Field(default=FINETUNING, sa_column_kwargs={"server_default": FINETUNING})
    """`Kind.stored` of app/finetune/job_kinds.py. An API from before there were kinds leaves it to the database."""

    owner: str = Field(default=ADMIN_OWNER, sa_column_kwargs={"server_default": ADMIN_OWNER})
    """The name of who made it."""
    shared: bool = Field(default=False, sa_column_kwargs={"server_default": true()})
    """Whether everybody may see it. Left out by an API from before there were owners: then everybody may."""

    name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """The labels: see app/api_models/labels.py. Empty: none."""
    tags: list[str] = Field(default_factory=list, sa_type=JSON, sa_column_kwargs={"server_default": "[]"})
    notes: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    sweep: str | None = Field(default=None, index=True)
    """The name of the sweep that it is part of."""
    search_text: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    """See app/jobs/search_text.py. Empty: written by an API from before there were labels."""

    status: str = Field(default=JobStatus.QUEUED, index=True)
    config: dict[str, Any] = Field(sa_type=JSON)
    warnings: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    datasets: list[dict[str, Any]] | None = Field(default=None, sa_type=JSON)
    """How it reads its folders, each a `JobDataset`. A job from before there were records has none."""
    idempotency_key: str | None = None
    request_digest: str | None = None
    """sha256 of the request submitted with the key: see app/jobs/transitions/submission.py."""

    priority: int = 0
    """Higher is claimed first."""
    created_at: float
    queued_at: float
    """Start of the wait in the queue, which orders equal priorities. The loss of a worker does not change it; a resume
    or retry by a user does."""
    retry_at: float | None = None
    """Earliest time at which a queued job can be claimed."""
    waiting_reason: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    rung_at: float | None = None

    attempt: int = 0
    """Fencing token: every claim increments it, and each later write must carry it."""
    worker_id: str | None = None
    lease_expires_at: float | None = Field(default=None, index=True)
    worker_losses: int = 0
    """Workers and trainers lost since the training last made progress."""

    stage: int | None = None
    epoch: int | None = None
    step: int | None = None
    phase: str | None = None
    """A `Phase` of app/finetune/phases.py while a worker holds the job, which may be of another version."""
    phase_progress: float | None = None
    progress: float = 0.0
    eta_seconds: float | None = None
    predicted: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    """Predicted duration, written near the start of the job: see app/jobs/durations.py."""
    seconds_worked: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    """Seconds of work of the ended attempts: each from its claim to its last heartbeat, or to its end."""
    measured: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    """Result of a dry run: the fields of `DryRunFinished` in app/finetune/events.py."""
    facts: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    recognition_before: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    recognition_after: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    verdict: str | None = None
    checkpoint: Checkpoint | None = Field(default=None, sa_type=TypedJson(Checkpoint))
    error: dict[str, Any] | None = Field(default=None, sa_type=JSON)

    event_count: int = 0
    """Number of the job's newest event. Incremented under the row's lock, so that readers see events without gaps."""


class Attempt(SQLModel, table=True):
    """One claim of a job by a worker, and its end."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    worker_id: str
    started_at: float
    ended_at: float | None = None
    outcome: str | None = None
    reason: str | None = None
    receipt: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    """Resume receipt: the state that this attempt resumed from, and the lost work. null for the first."""
    recorded_messages: int = 0
    """Number of recorded messages of its trainer, so that a write repeated after a lost answer has no effect."""
    steps_done: int = 0
    """Optimizer steps of the whole training when its trainer last reported them."""
    heard_at: float | None = None
    """Time of its trainer's last message, or of the claim."""
    gpu: GpuUse | None = Field(default=None, sa_type=TypedJson(GpuUse))
    """The GPU that its trainer uses. None on a CPU."""


class EpochMetric(EpochMetrics, SQLModel, table=True):
    """The metrics of one epoch: a column for each field of `EpochMetrics`."""

    __table_args__ = (UniqueConstraint("job_id", "stage", "epoch", name="uq_epochmetric_once"),)
    model_config = SQLModelConfig(frozen=False)

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    attempt: int = Field(primary_key=True)
    stage: int = Field(primary_key=True)  # type: ignore[assignment]
    epoch: int = Field(primary_key=True)
    created_at: float


class Artifact(SQLModel, table=True):
    """A file of a job. Its row is written after the whole file is on the disk."""

    key: str = Field(primary_key=True)
    """Path relative to the artifacts' root."""
    job_id: str = Field(foreign_key="job.id", index=True)
    attempt: int
    kind: str
    stage: int
    epoch: int
    size: int = Field(sa_type=BigInteger)
    sha256: str
    created_at: float
    sequence: int = 0
    """Counts the job's files in the order of writing, independent of clocks."""
    pinned: bool = False
    resume_point: ResumePoint | None = Field(default=None, sa_type=TypedJson(ResumePoint))
    """Resume point of a saved state."""

    @property
    def file(self) -> WrittenFile:
        return WrittenFile(Path(self.key), self.size, self.sha256)


class JobEvent(SQLModel, table=True):
    """An event of a job, numbered from 1 without gaps."""

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    attempt: int
    kind: str
    data: dict[str, Any] = Field(sa_type=JSON)
    created_at: float


class JobLogLine(SQLModel, table=True):
    """A line of the log of a job: see app/jobs/job_log.py. Numbered from 1; old lines are deleted."""

    __tablename__ = "joblog"

    job_id: str = Field(primary_key=True, foreign_key="job.id")
    number: int = Field(primary_key=True)
    attempt: int
    level: str
    text: str = Field(sa_type=Text)
    created_at: float


class DeletedJob(SQLModel, table=True):
    """A job whose rows are deleted. Its folder may still be there, and a repeated request may still name its key."""

    id: str = Field(primary_key=True)
    owner: str
    idempotency_key: str | None = Field(default=None, index=True)
    deleted_at: float


class OwnerTurn(SQLModel, table=True):
    """When a job of an owner was last claimed. Owners take turns: the one who waited longest is next."""

    owner: str = Field(primary_key=True)
    claimed_at: float


class WorkerSeen(SQLModel, table=True):
    """A worker process and when it last reported. Ids are new at each start."""

    id: str = Field(primary_key=True)
    hostname: str
    started_at: float
    seen_at: float
    gpus: GpuReport | None = Field(default=None, sa_type=TypedJson(GpuReport))
    """The GPUs of its machine when it last reported. A worker from before revision 0007 leaves it out."""


class Dataset(SQLModel, table=True):
    """The record of a dataset: its names as of `listed_at`, and what a check of its images found."""

    __table_args__ = (UniqueConstraint("name", name="uq_dataset_name"),)

    id: str = Field(primary_key=True)
    name: str
    """Path relative to the datasets' root, with `/`."""
    owner: str = Field(default=ADMIN_OWNER, sa_column_kwargs={"server_default": ADMIN_OWNER})
    """The name of who registered it. A record that a job made belongs to an admin, and is shared."""
    shared: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    subject_pattern: str
    registered_at: float
    listed_at: float
    listing: Listing = Field(sa_type=TypedJson(Listing))
    check_job_id: str | None = None
    """The newest job that checks it, or checked it. Only that one writes its findings."""
    checked_at: float | None = None
    findings: DatasetFindings | None = Field(default=None, sa_type=TypedJson(DatasetFindings))
    """Of the images in `listing`: None once the names changed."""
    manifest: str | None = None
    """Digest of the manifest of the images that were checked. The file is in the artifacts: see app/datasets."""


class Upload(SQLModel, table=True):
    """A file that a person sends. Its bytes, and so its offset, are in a file of the uploads' folder: see
    app/uploads."""

    id: str = Field(primary_key=True)
    owner: str = Field(index=True)
    name: str
    """File name, as the person's machine has it."""
    length: int = Field(sa_type=BigInteger)
    """Bytes of the whole file; of a form, at most, until it is finished."""
    resumable: bool
    created_at: float
    expires_at: float = Field(index=True)
    finished_at: float | None = None
    """When the last byte came."""
    job_id: str | None = None
    """The newest job that reads it, or read it."""


class UploadedInput(SQLModel, table=True):
    """A dataset or a weights file that came by an upload: the service owns it and may delete it."""

    kind: str = Field(primary_key=True)
    """`dataset` or `weights`."""
    name: str = Field(primary_key=True)
    owner: str = Field(index=True)
    size: int = Field(sa_type=BigInteger)
    sha256: str
    """Of the upload."""
    created_at: float
    job_id: str | None = None
    """The job that made the dataset."""
    shared: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Of weights. A dataset's record says whether the dataset is shared."""
    network: str | None = None
    """Of weights: the name of the EdgeFace variant, or `DSR`."""
