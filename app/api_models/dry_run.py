"""Results of dry runs: of `dry_run=true`, which validates, and of `dry_run=estimate`, which makes steps."""

from pydantic import BaseModel, Field

from app.finetune.config import FinetuneConfig
from app.finetune.job_warning import JobWarning


class DryRun(BaseModel):
    """The result of `dry_run=true`: the validated config and its warnings."""

    config: FinetuneConfig = Field(description="Every field with its value.")
    warnings: list[JobWarning]


class SecondsRange(BaseModel):
    low: float
    likely: float
    high: float


class SecondsByPart(BaseModel):
    """Likely seconds."""

    start: float = Field(description="Loading the weights and hashing all files.")
    prepare: float = Field(
        description="Decoding and super-resolving the faces that are not cached; reading the others."
    )
    before: float = Field(description="Measuring recognition before training.")
    stage1: float
    stage2: float
    after: float = Field(description="Measuring recognition after training.")


class EstimateView(BaseModel):
    """The result of `dry_run=estimate`: time, memory and disk of the job on this worker, from a few steps of each stage
    on some of its faces."""

    seconds: SecondsRange = Field(
        description="Seconds of work for all epochs of the config, without waiting and without early stopping."
    )
    seconds_by_part: SecondsByPart
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float = Field(description="Likely seconds of one epoch of stage 2.")
    can_stop_early: bool | None = Field(
        None, description="Whether the config may end stage 2 early; null in estimates of version 0.2 and before."
    )
    device: str
    images_enlarged: int = Field(
        description="Number of images that the dry run decoded and super-resolved; 0: all are cached."
    )
    process_bytes: int = Field(
        description="Peak memory of the training process. Includes the memory map of the cached faces, which the "
        "system can reclaim."
    )
    device_bytes: int | None = Field(description="Peak reserved GPU memory; null on a CPU.")
    prepared_bytes: int = Field(description="Disk for the faces that are not cached yet. Later jobs use them too.")
    state_bytes: int = Field(description="Disk for the training states while the job runs.")
    checkpoint_bytes: int = Field(description="Disk for both files of one checkpoint.")
