"""The reason why a job waits, in words."""

from sqlmodel import Session

from app.finetune.errors import ErrorReport
from app.finetune.training_errors import DiskFull, GpuFull, GpuUnusable
from app.jobs import queries
from app.jobs.attempt_errors import FilesAway
from app.jobs.errors import StoredFileMissing
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import fence

_OF_OTHERS = {
    JobStatus.PAUSED: "a person to resume it",
    JobStatus.PAUSING: "its worker to save the training state",
    JobStatus.CANCELLING: "its worker to end the training; cancel?force=true does not wait for that",
}


_START_ONE = "start one with edgeface-finetune worker"

_OF_ERRORS = {
    DiskFull.code: "disk space",
    GpuFull.code: "memory of a GPU",
    GpuUnusable.code: "a GPU",
    FilesAway.code: "its saved files",
    StoredFileMissing.code: "its saved files",
}
"""What a job waits for whose attempt ended with an error of this code."""


def reason_after(error: ErrorReport) -> str:
    """Return what a job waits for that was handed back because of the error, in words that follow `waits for`."""
    return f"{_OF_ERRORS.get(error.code, 'another try')}: {error.message}"


def waiting_for(session: Session, job: Job, worker_seen_seconds: float) -> str | None:
    """Return what the job waits for, in words that follow `waits for`. None for a job that runs or has ended."""
    status = JobStatus(job.status)
    if status is not JobStatus.QUEUED:
        return _OF_OTHERS.get(status)
    worker = _worker(session, worker_seen_seconds)
    parts = [part for part in (job.waiting_reason, worker or _backoff(session, job)) if part is not None]
    return "; and for ".join(parts) or _turn(queries.queue_position(session, job))


def _worker(session: Session, worker_seen_seconds: float) -> str | None:
    seen = queries.seconds_since_worker(session)
    if seen is None:
        return f"a worker, but none has ever reported: {_START_ONE}"
    if seen > worker_seen_seconds:
        return f"a worker, but none has reported for {seen:.0f} s: {_START_ONE}"
    return None


def _backoff(session: Session, job: Job) -> str | None:
    seconds = 0.0 if job.retry_at is None else job.retry_at - fence.clock(session)
    if seconds <= 0:
        return None
    lost = f", after losing its worker or trainer {job.worker_losses} times" if job.worker_losses > 1 else ""
    return f"its next try, in {seconds:.0f} s{lost}"


def _turn(position: int) -> str:
    if position == 1:
        return "a worker to be free: this job is next"
    return f"the {position - 1} jobs before it in the queue" if position > 2 else "the job before it in the queue"
