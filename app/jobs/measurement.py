"""What a measurement found out."""

from typing import Any

from pydantic import BaseModel, Field


class SecondsRange(BaseModel):
    low: float
    likely: float
    high: float


class SecondsByPart(BaseModel):
    """Likely seconds."""

    start: float = Field(description="Loading the weights, digests of all files.")
    prepare: float = Field(
        description="Decoding and enlarging all faces that are not prepared yet; reading the others."
    )
    before: float = Field(description="The measurement before the training.")
    stage1: float
    stage2: float
    after: float = Field(description="The measurement after the training.")


class MeasuredView(BaseModel):
    """What the job would take on this worker, by real steps of each stage on some of its faces."""

    seconds: SecondsRange = Field(
        description="Seconds of work for all epochs of the config, waiting left out. Early stopping makes it shorter."
    )
    seconds_by_part: SecondsByPart
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float = Field(description="Likely seconds of one epoch of stage 2.")
    device: str
    images_enlarged: int = Field(description="How many were decoded and enlarged to time it; 0: all are prepared.")
    process_bytes: int = Field(
        description="Peak memory of the training process, with the prepared faces that it reads through a memory map, "
        "which the system may take back."
    )
    device_bytes: int | None = Field(description="Peak memory that it reserves on the GPU; null on a CPU.")
    prepared_bytes: int = Field(description="Disk: faces that are not prepared yet; they are kept for later jobs.")
    state_bytes: int = Field(description="Disk: the training states that are there at a time; none once it succeeded.")
    checkpoint_bytes: int = Field(
        description="Disk: one checkpoint, both its files. A better one replaces it after a minute."
    )


def view_measured(measured: dict[str, Any] | None) -> MeasuredView | None:
    return None if measured is None else MeasuredView.model_validate(measured)
