"""Predicted and actual duration of a job, in seconds of work.

The work of a job is the sum over its attempts, each from the claim until its trainer last reported, and until the end
for the attempt that succeeded. The time between attempts (queue, pause, lost worker) does not count. Work that was lost
and repeated counts each time.
"""

from typing import Any

from pydantic import BaseModel, Field, computed_field, model_validator

from app.finetune.event_data import EventData


class PredictedView(EventData, BaseModel):
    """Predicted seconds of work for all epochs of the config. The first steps determine it, and it does not change
    later. Early stopping is not expected."""

    low: float
    likely: float
    high: float
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float = Field(
        description="Likely seconds of one epoch of stage 2, including validation and files."
    )
    can_stop_early: bool | None = Field(
        None, description="Whether the config may end stage 2 early; null in predictions of version 0.2 and before."
    )
    predicted_after: float = Field(description="Seconds of work after which the prediction was made.")
    for_epochs_trained: float | None = Field(
        None,
        description="For a succeeded job: `likely` without the epochs that early stopping left out. Compare it with "
        "`actual`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, values: Any) -> Any:
        if isinstance(values, dict) and "predicted_after" not in values and "told_after" in values:
            return values | {"predicted_after": values["told_after"]}
        return values

    @computed_field(description="Former name of `predicted_after`.", json_schema_extra={"deprecated": True})  # type: ignore[prop-decorator]
    @property
    def told_after(self) -> float:
        return self.predicted_after


class ActualView(BaseModel):
    """Seconds of work of the job's attempts."""

    seconds: float = Field(description="Until now, if the job has not ended.")
    off_by: float | None = Field(
        description="For a succeeded job: seconds / predicted.for_epochs_trained - 1. Positive: it took longer."
    )
