"""How long a job was said to take, and how long it took.

Worked are the seconds of its attempts, each from the claim until its trainer was last heard of, and of a succeeded one
until its end. What lies between attempts is waiting and does not count: the queue, a pause, a lost worker. Work that
was lost and done again counts each time.
"""

from pydantic import BaseModel, Field

from app.jobs.states import JobStatus
from app.jobs.tables import MEASUREMENT, Attempt, EpochMetric, Job


class PredictedView(BaseModel):
    """Seconds of work for all epochs of the config, told after the first steps and kept. Early stopping makes it
    shorter."""

    low: float
    likely: float
    high: float
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float = Field(description="Likely seconds of one epoch of stage 2, validation and files in.")
    told_after: float = Field(description="Seconds that the job had worked when it said so.")
    for_epochs_trained: float | None = Field(
        None,
        description="Of a succeeded job: `likely` without the epochs that early stopping left out. Compare this with "
        "`actual`.",
    )


class ActualView(BaseModel):
    """Seconds that the job's attempts worked. Waiting between them (queue, pause, lost worker) does not count."""

    seconds: float = Field(description="So far, while the job has not ended.")
    off_by: float | None = Field(
        description="Of a succeeded job: seconds / predicted.for_epochs_trained - 1; above 0 it took longer."
    )


def view_predicted(job: Job, latest: EpochMetric | None) -> PredictedView | None:
    """`latest` is the epoch trained last. None before the job has told, and for ever where it ended before."""
    if job.predicted is None:
        return None
    predicted = PredictedView.model_validate(job.predicted)
    if job.status != JobStatus.SUCCEEDED or latest is None:
        return predicted
    left_out = predicted.stage2_epochs - (latest.epoch if latest.stage == 2 else 0)
    compared = round(predicted.likely - left_out * predicted.stage2_epoch_seconds, 3)
    return predicted.model_copy(update={"for_epochs_trained": compared})


def view_actual(job: Job, newest: Attempt | None, predicted: PredictedView | None) -> ActualView | None:
    """`newest` is the newest attempt. None before a worker has claimed the job, and of a measurement."""
    if newest is None or job.kind == MEASUREMENT:
        return None
    running = newest.heard_at - newest.started_at if newest.heard_at and newest.ended_at is None else 0.0
    seconds = round(job.seconds_worked + running, 3)
    compared = None if predicted is None else predicted.for_epochs_trained
    return ActualView(seconds=seconds, off_by=round(seconds / compared - 1, 4) if compared else None)
