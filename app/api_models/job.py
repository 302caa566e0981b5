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
from app.finetune.job_kinds import AnyJobConfig, JobKind
from app.finetune.job_warning import JobWarning


class JobView(BaseModel):
    id: str
    kind: JobKind
    status: JobStatus
    terminal: bool = Field(description="Whether the status is final. Only a retry changes it.")
    stage: int | None = Field(description="0: DSR training. 1: head only. 2: backbone and head. null before training.")
    epoch: int | None
    step: int | None = Field(description="Finished optimizer steps of the epoch.")
    progress: float = Field(description="0..1 over the whole job.")
    eta_seconds: float | None = Field(description="Seconds left; null until the pace of stage 2 is steady.")
    predicted: PredictedView | None = Field(description="Predicted duration; null until the first steps are made.")
    actual: ActualView | None = Field(description="Actual duration; null until a worker claims the job.")
    estimate: EstimateView | None = Field(None, description="Result of a dry run; null for other kinds.")
    priority: int = Field(description="Jobs of higher priority run first.")
    queue_position: int | None = Field(description="1 is next; null unless queued.")
    waiting_for: str | None = Field(description="Why the job waits, in words; null if it runs or has ended.")
    retry_at: datetime | None = Field(description="Earliest next attempt of a queued job that lost a worker.")
    latest: EpochMetrics | None
    best: EpochMetrics | None
    recognition: RecognitionChange
    checkpoint: CheckpointView | None
    files: list[KeptFile] = Field(description="All files of this job, oldest first.")
    files_size: int = Field(description="Total size of the files in bytes.")
    error: ErrorReport | None
    warnings: list[JobWarning]
    config: AnyJobConfig = Field(description="Every field with its value.")
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
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]

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
