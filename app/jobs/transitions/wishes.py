"""Transitions on a user's request: cancel, pause, resume, retry; and changes of labels and sharing."""

from collections.abc import Sequence

from sqlmodel import Session

from app.api_models.events import StatusChanged
from app.api_models.labels import JobChanges
from app.database import database_now
from app.finetune.job_kinds import kind_of
from app.jobs import queries
from app.jobs.errors import NotPausable, NotPaused, NotRetryable, StatesGone
from app.jobs.made_weights import hold_named
from app.jobs.search_text import search_text
from app.jobs.states import CLAIMED, RETRYABLE, JobStatus
from app.jobs.tables import Job
from app.jobs.transitions.attempts import end_job
from app.jobs.transitions.fence import append_event, cut_after, update_job


def request_cancel(session: Session, job_id: str, *, force: bool = False) -> Job:
    """Cancel a job that no worker holds at once, and request a stop of a claimed one. No effect on an ended job.
    Idempotent.

    With `force` a claimed job is cancelled at once too, in case its processes are lost. A worker that still lives loses
    its claim and ends its trainer at its next heartbeat.
    """
    job = queries.locked(session, job_id)
    if job.status in {JobStatus.QUEUED, JobStatus.PAUSED, *(CLAIMED if force else ())}:
        lease_expires_at = job.lease_expires_at
        end_job(session, job_id, job.attempt, JobStatus.CANCELLED, None, "cancelled by a person")
        # Its trainer may live as long as the lease: a retry must not start a second one before.
        update_job(session, job_id, retry_at=lease_expires_at)
    else:
        _ask(session, job, [JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.PAUSING], JobStatus.CANCELLING)
    return queries.fresh(session, job_id)


def request_pause(session: Session, job_id: str) -> Job:
    """Pause a queued job at once, and request a claimed one to save its state and stop. Idempotent.

    Raises NotPausable.
    """
    job = queries.locked(session, job_id)
    _ask(session, job, [JobStatus.QUEUED], JobStatus.PAUSED)
    _ask(session, job, [JobStatus.PREPARING, JobStatus.RUNNING], JobStatus.PAUSING)
    job = queries.fresh(session, job_id)
    status = JobStatus(job.status)
    if status not in (JobStatus.PAUSING, JobStatus.PAUSED):
        raise NotPausable(job_id, status)
    return job


def resume(session: Session, job_id: str) -> Job:
    """Queue a paused job again, behind jobs of its priority. No effect on a queued or running job. Ring the bell after
    the commit. Raises NotPaused."""
    _queue_again(session, job_id, [JobStatus.PAUSED], "resumed by a person")
    job = queries.fresh(session, job_id)
    status = JobStatus(job.status)
    if status not in (JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.RUNNING):
        raise NotPaused(job_id, status)
    return job


def retry(session: Session, job_id: str, *, from_start: bool = False) -> Job:
    """Queue a failed or cancelled job again, from its last saved state or from the start. Ring the bell after the
    commit.

    Raises NotRetryable, StatesGone if its states were deleted but not their checkpoints, and the exceptions of
    `hold_named` if weights of a named job are deleted.
    """
    job = queries.locked(session, job_id)
    if job.status not in RETRYABLE:
        raise NotRetryable(job_id, JobStatus(job.status))
    if not from_start and job.checkpoint is not None and not queries.resume_points(session, job_id):
        raise StatesGone(job_id)
    again = "from the start" if from_start else "from the last saved state"
    _queue_again(session, job_id, list(RETRYABLE), f"retried by a person {again}")
    hold_named(session, kind_of(job.kind), job.config)
    if from_start:
        cut_after(session, job_id, None)
        update_job(session, job_id, checkpoint=None, recognition_before=None, facts=None)
        update_job(session, job_id, predicted=None, seconds_worked=0.0)
    points = queries.resume_points(session, job_id)
    progress = points[0].progress if points else 0.0
    update_job(session, job_id, error=None, finished_at=None, verdict=None, recognition_after=None, progress=progress)
    return queries.fresh(session, job_id)


def change_labels(session: Session, job_id: str, changes: JobChanges) -> Job:
    """Set the name, the tags, the notes and whether the job is shared, as far as `changes` has them."""
    job = queries.locked(session, job_id)
    job.sqlmodel_update(changes.values)
    job.search_text = search_text(job.name, job.tags, job.config)
    session.flush()
    return job


def _ask(session: Session, job: Job, sources: Sequence[JobStatus], target: JobStatus) -> None:
    """Request `target` for a job whose status is one of `sources`."""
    previous = JobStatus(job.status)
    if update_job(
        session, job.id, sources=sources, status=target, eta_seconds=None, retry_at=None, waiting_reason=None
    ):
        append_event(session, job.id, StatusChanged(status=target, previous=previous))


def _queue_again(session: Session, job_id: str, sources: Sequence[JobStatus], reason: str) -> bool:
    previous = JobStatus(queries.locked(session, job_id).status)
    queued = update_job(
        session,
        job_id,
        sources=sources,
        status=JobStatus.QUEUED,
        queued_at=database_now(),
        rung_at=None,
        waiting_reason=None,
        worker_losses=0,
        worker_id=None,
        stage=None,
        epoch=None,
        step=None,
    )
    if queued:
        append_event(session, job_id, StatusChanged(status=JobStatus.QUEUED, previous=previous, reason=reason))
    return queued
