"""Views of the predicted and the actual duration of a job. Definitions: app/api_models/durations.py."""

from app.api_models.durations import ActualView, PredictedView
from app.finetune.job_kinds import known_kind
from app.jobs.states import JobStatus
from app.jobs.tables import Attempt, EpochMetric, Job


def view_predicted(job: Job, latest: EpochMetric | None) -> PredictedView | None:
    """Return None if no prediction was made. `latest` is the epoch trained last."""
    if job.predicted is None:
        return None
    predicted = PredictedView.model_validate(job.predicted | {"for_epochs_trained": None})
    if job.status != JobStatus.SUCCEEDED or latest is None:
        return predicted
    left_out = predicted.stage2_epochs - (latest.epoch if latest.stage == 2 else 0)
    compared = round(predicted.likely - left_out * predicted.stage2_epoch_seconds, 3)
    return predicted.model_copy(update={"for_epochs_trained": compared})


def view_actual(job: Job, newest: Attempt | None, predicted: PredictedView | None) -> ActualView | None:
    """Return None if no worker has claimed the job, and for a dry run. `newest` is the newest attempt."""
    kind = known_kind(job.kind)
    if newest is None or (kind is not None and kind.dry_run_of is not None):
        return None
    running = newest.heard_at - newest.started_at if newest.heard_at and newest.ended_at is None else 0.0
    seconds = round(job.seconds_worked + running, 3)
    compared = None if predicted is None else predicted.for_epochs_trained
    return ActualView(seconds=seconds, off_by=round(seconds / compared - 1, 4) if compared else None)
