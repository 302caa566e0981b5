"""A job."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, computed_field, model_validator

from app.api_models.attempts import ResumePointView, ResumeReceipt
from app.api_models.dry_run import EstimateView
from app.api_models.durations import ActualView, PredictedView
from app.api_models.files import CheckpointView, KeptFile
from app.api_models.job_status import JobStatus
from app.api_models.metrics import RecognitionChange
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ErrorReport
from app.finetune.gpus import GpuUse
from app.finetune.job_dataset import JobDataset
from app.finetune.job_kinds import AnyJobConfig, JobKind
from app.finetune.job_warning import JobWarning
from app.finetune.phases import PHASES


class JobView(BaseModel):
    id: str
    kind: JobKind
    owner: str = Field("local", description="Who submitted it: the name of the key, or `local` without keys.")
    shared: bool = Field(False, description="Whether everybody with the scope `read` may see it.")
    name: str = Field("", description="Label that its owner chose. Empty: none.")
    tags: list[str] = Field([], description="Labels that its owner chose.")
    notes: str = Field("", description="Text that its owner wrote. Empty: none.")
    sweep: str | None = Field(None, description="Name of the sweep that it is part of: GET /sweeps/{name}.")
    status: JobStatus
    terminal: bool = Field(description="Whether the status is final. Only a retry changes it.")
    stage: int | None = Field(
        description="0: DSR training. 1: head only. 2: the backbone, with the head or the prototypes of identities. "
        "null before training."
    )
    epoch: int | None
    step: int | None = Field(description="Finished optimizer steps of the epoch.")
    phase: str | None = Field(
        None,
        description=f"What the job does now, one of {', '.join(PHASES)} (see the event `phase`); null unless a worker "
        "has it.",
    )
    phase_progress: float | None = Field(None, description="0..1 over the phase.")
    progress: float = Field(description="0..1 over the whole job. It never falls while a worker has the job.")
    eta_seconds: float | None = Field(
        description="Seconds left of the whole job, without early stopping. From rough constants at first, then from "
        "the measured pace; null unless a worker has the job and knows its size."
    )
    predicted: PredictedView | None = Field(description="Predicted duration; null until the first steps are made.")
    actual: ActualView | None = Field(description="Actual duration; null until a worker claims the job.")
    estimate: EstimateView | None = Field(None, description="Result of a dry run; null for other kinds.")
    priority: int = Field(description="Jobs of higher priority run first.")
    queue_position: int | None = Field(description="1 is next; null unless queued.")
    waiting_for: str | None = Field(
        description="What the job waits for, in words that follow `waits for`; null if it runs or has ended."
    )
    retry_at: datetime | None = Field(description="Earliest next attempt of a queued job that lost a worker.")
    latest: EpochMetrics | None
    best: EpochMetrics | None = Field(
        description="The epoch of the checkpoint: the best so far, or with `keep: last` the last one validated."
    )
    recognition: RecognitionChange
    checkpoint: CheckpointView | None
    files: list[KeptFile] = Field(description="All files of this job, oldest first.")
    files_size: int = Field(description="Total size of the files in bytes.")
    error: ErrorReport | None
    warnings: list[JobWarning]
    config: AnyJobConfig = Field(description="Every field with its value.")
    datasets: list[JobDataset] = Field([], description="How it reads its folders; empty for jobs of version 0.2.")
    facts: dict[str, Any] | None = Field(
        description="Variant, enlargement, resampler, device, precision, images and subjects; null before preparation."
    )
    attempt: int = Field(description="Number of claims by workers so far.")
    worker_losses: int = Field(description="Workers and trainers lost since the training last advanced.")
    resume_point: ResumePointView | None = Field(
        description="The saved state that a resume or a retry would load; null: it would start from the beginning."
    )
    resume_receipt: ResumeReceipt | None = Field(
        description="The state that the newest attempt resumed from and the work that was lost; null for the first."
    )
    gpu: GpuUse | None = Field(None, description="The GPU of the newest attempt; null on a CPU.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]

    @property
    def waiting_sentence(self) -> str | None:
        """As in `waits for a person to resume it`; None if the job does not wait."""
        return f"waits for {self.waiting_for}" if self.waiting_for else None

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        """Read answers of version 0.1 too."""
        if not isinstance(values, dict):
            return values
        return (
            values | {"estimate": values["measured"]}
            if values.keys() & {"measured", "estimate"} == {"measured"}
            else values
        )

    @computed_field(description="Former name of `estimate`.", json_schema_extra={"deprecated": True})  # type: ignore[prop-decorator]
    @property
    def measured(self) -> EstimateView | None:
        return self.estimate


class JobPage(BaseModel):
    jobs: list[JobView]
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page; null on the last page.")


class JobCounts(BaseModel):
    total: int
    by_status: dict[JobStatus, int] = Field(description="Each status, also those without a job.")
