"""Metrics of training epochs and of recognition."""

from pydantic import BaseModel, Field

from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.events import Recognition


class Metrics(BaseModel):
    """All epochs, in the order of training."""

    job_id: str
    epochs: list[EpochMetrics]


class RecognitionChange(BaseModel):
    """Recognition before and after: with the initial and the exported weights of a fine-tuning, or with bicubic
    interpolation and the trained network of a DSR training."""

    before: Recognition | None
    after: Recognition | None
    verdict: str | None = Field(description="One sentence: whether recognition improved.")
