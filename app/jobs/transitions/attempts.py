"""Transitions of an attempt: claim, begin, renew the lease, end."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select, update

from app.api_models.attempts import ResumeReceipt
from app.api_models.events import StatusChanged
from app.database import database_now
from app.finetune.errors import ErrorReport
from app.finetune.event_data import as_json
from app.finetune.gpus import GpuUse
from app.jobs import queries
from app.jobs.attempt_errors import Poisoned, WorkerLost
from app.jobs.durations import view_actual, view_predicted
from app.jobs.resume import ResumePoint
from app.jobs.states import CLAIMED, TERMINAL, JobStatus
from app.jobs.tables import Attempt, Job, OwnerTurn
from app.jobs.transitions.fence import Claim, append_event, clock, cut_after, update_attempt, update_job, write_claimed

LONGEST_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True)
class LossPolicy:
    """A job is failed at its loss number `max_losses` without progress; before that it is queued again after
    `backoff_seconds`, doubled with each further loss."""

    max_losses: int
    backoff_seconds: float = 0.0

    def backoff(self, losses: int) -> float:
        return float(min(LONGEST_BACKOFF_SECONDS, self.backoff_seconds * 2 ** min(losses - 1, 32)))


def claim(session: Session, job_id: str, worker_id: str, lease_seconds: float) -> Claim | None:
    """Claim a queued job that is due, or return None. Of two concurrent workers, one gets it.

    Idempotent: a worker whose commit was not answered finds that it holds the job already.
    """
    claimed = session.execute(
        update(Job)
        .where(col(Job.id) == job_id, col(Job.status) == JobStatus.QUEUED, queries.is_due())
        .values(
            status=JobStatus.PREPARING,
            attempt=Job.attempt + 1,
            worker_id=worker_id,
            lease_expires_at=database_now() + lease_seconds,
            started_at=func.coalesce(Job.started_at, database_now()),
            retry_at=None,
            waiting_reason=None,
            stage=None,
            epoch=None,
            step=None,
            phase="starting",
            phase_progress=0.0,
            eta_seconds=None,
        )
        .returning(col(Job.attempt))
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if claimed is None:
        held = session.execute(
            select(Job.attempt).where(
                Job.id == job_id,
                Job.worker_id == worker_id,
                Job.status == JobStatus.PREPARING,
                col(Job.lease_expires_at) >= database_now(),
            )
        ).scalar_one_or_none()
        return None if held is None else Claim(job_id, held, worker_id)
    now = clock(session)
    _note_turn(session, job_id, now)
    session.add(Attempt(job_id=job_id, number=claimed, worker_id=worker_id, started_at=now, heard_at=now))
    changed = StatusChanged(status=JobStatus.PREPARING, previous=JobStatus.QUEUED, worker=worker_id)
    append_event(session, job_id, changed)
    return Claim(job_id, claimed, worker_id)


def _note_turn(session: Session, job_id: str, now: float) -> None:
    owner = session.execute(select(Job.owner).where(Job.id == job_id)).scalar_one()
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    turn = insert(OwnerTurn).values(owner=owner, claimed_at=now)
    session.execute(turn.on_conflict_do_update(index_elements=["owner"], set_={"claimed_at": now}))


def begin_attempt(session: Session, claim: Claim, point: ResumePoint | None) -> ResumeReceipt | None:
    """Resume the claimed job from `point`, whose files the caller has found whole, or start it.

    Deletes everything after the point: metrics, states and unpinned checkpoints. Returns the receipt, None for a job's
    first attempt. Idempotent.
    """
    write_claimed(
        session,
        claim,
        progress=0.0 if point is None else point.progress,
        checkpoint=None if point is None else point.checkpoint,
    )
    begun = session.get_one(Attempt, (claim.job_id, claim.attempt))
    if begun.receipt is not None:
        return ResumeReceipt.model_validate(begun.receipt)
    cut_after(session, claim.job_id, point)
    steps_done = 0 if point is None else point.steps_done
    receipt = None if claim.attempt == 1 else _write_receipt(session, claim, point, steps_done)
    update_attempt(session, claim, receipt=receipt and as_json(receipt), steps_done=steps_done)
    if receipt is not None:
        append_event(session, claim.job_id, receipt)
    return receipt


def renew_lease(session: Session, claim: Claim, lease_seconds: float, gpu: GpuUse | None = None) -> JobStatus:
    """Renew the claim for `lease_seconds`, and record the attempt's GPU if given. Return the job's status, which shows
    a requested cancel or pause."""
    status = write_claimed(session, claim, lease_expires_at=database_now() + lease_seconds)
    if gpu is not None:
        update_attempt(session, claim, gpu=gpu)
    return status


def finish(
    session: Session, claim: Claim, status: JobStatus, error: ErrorReport | None = None, **columns: object
) -> None:
    """Write the final state of the claimed job. After a requested cancel or pause it may still succeed or fail."""
    write_claimed(session, claim, **columns)
    end_job(session, claim.job_id, claim.attempt, status, error)


def hand_back(
    session: Session, claim: Claim, reason: str, *, retry_in: float = 0.0, waits_for: str | None = None
) -> JobStatus:
    """Return the job to the queue on the worker's request, or cancel or pause it if that was requested. Does not count
    as a loss. With `retry_in` no worker claims it for so many seconds; `waits_for` is the reason of that, in words that
    follow `waits for`."""
    current = write_claimed(session, claim, waiting_reason=waits_for)
    return _release(session, claim, current, reason, retry_in)


def lose_trainer(session: Session, claim: Claim, lost: ErrorReport, policy: LossPolicy) -> JobStatus:
    """Record that the trainer of a claimed job died or hung: queue the job again after the backoff, or fail it."""
    current = write_claimed(session, claim, worker_losses=Job.worker_losses + 1)
    return _resolve_loss(session, claim, current, lost, policy)


def expire_leases(session: Session, policy: LossPolicy) -> list[str]:
    """Queue again, fail, cancel or pause every claimed job whose lease has expired. Return the ids queued again."""
    expired = session.execute(
        update(Job)
        .where(col(Job.status).in_(CLAIMED), col(Job.lease_expires_at) < database_now())
        .values(worker_losses=Job.worker_losses + 1, lease_expires_at=None)
        .returning(col(Job.id), col(Job.attempt), col(Job.worker_id), col(Job.status))
        .execution_options(synchronize_session=False)
    ).all()
    requeued = []
    for job_id, attempt, worker_id, status in expired:
        claim = Claim(job_id, attempt, worker_id)
        lost = WorkerLost(worker_id).report()
        if _resolve_loss(session, claim, JobStatus(status), lost, policy) is JobStatus.QUEUED:
            requeued.append(job_id)
    return requeued


def _write_receipt(session: Session, claim: Claim, point: ResumePoint | None, steps_done: int) -> ResumeReceipt:
    earlier = [each for each in queries.attempts(session, claim.job_id) if each.number < claim.attempt]
    before = earlier[-1]
    # An attempt that ended before it began lost nothing, and has no receipt for the loss of the one before it.
    trained = next((each for each in reversed(earlier) if each.receipt is not None), earlier[0])
    # A lost worker's attempt ends with its lease, long after the last work on it.
    heard_at = trained.heard_at or trained.started_at
    started_at = session.get_one(Attempt, (claim.job_id, claim.attempt)).started_at
    since = trained.started_at if point is None else max(trained.started_at, point.saved_at)
    return ResumeReceipt(
        from_attempt=None if point is None else point.attempt,
        stage=None if point is None else point.stage,
        epoch=None if point is None else point.epoch,
        step=None if point is None else point.step,
        steps_redone=max(0, trained.steps_done - steps_done),
        seconds_lost=round(max(0.0, heard_at - since), 3),
        seconds_waited=round(max(0.0, started_at - heard_at), 3),
        reason=before.reason or before.outcome or "unknown",
    )


def end_job(
    session: Session,
    job_id: str,
    attempt: int,
    status: JobStatus,
    error: ErrorReport | None,
    reason: str | None = None,
) -> None:
    """Write a final state with its event. The caller has locked the row."""
    previous = JobStatus(queries.fresh(session, job_id).status)
    progress = {"progress": 1.0} if status is JobStatus.SUCCEEDED else {}
    update_job(
        session,
        job_id,
        sources=list(set(JobStatus) - TERMINAL),
        status=status,
        error=error and error.model_dump(),
        finished_at=database_now(),
        lease_expires_at=None,
        retry_at=None,
        waiting_reason=None,
        phase=None,
        phase_progress=None,
        eta_seconds=None,
        **progress,
    )
    _end_attempt(session, job_id, attempt, status, reason if error is None else error.message)
    duration = _duration(session, job_id)
    append_event(session, job_id, StatusChanged(status=status, previous=previous, error=error, **duration))


def _resolve_loss(
    session: Session, claim: Claim, current: JobStatus, lost: ErrorReport, policy: LossPolicy
) -> JobStatus:
    """Queue the job again, or fail it after too many losses. The caller has locked the row."""
    losses = queries.fresh(session, claim.job_id).worker_losses
    if losses >= policy.max_losses and current in (JobStatus.PREPARING, JobStatus.RUNNING):
        end_job(session, claim.job_id, claim.attempt, JobStatus.FAILED, Poisoned(losses, lost).report())
        return JobStatus.FAILED
    return _release(session, claim, current, lost.message, policy.backoff(losses))


def _release(session: Session, claim: Claim, current: JobStatus, reason: str, retry_in: float) -> JobStatus:
    """Set the job to queued, or cancel or pause it if that was requested. The caller has locked the row."""
    if current is JobStatus.CANCELLING:
        end_job(session, claim.job_id, claim.attempt, JobStatus.CANCELLED, None, reason)
        return JobStatus.CANCELLED
    target = JobStatus.PAUSED if current is JobStatus.PAUSING else JobStatus.QUEUED
    points = queries.resume_points(session, claim.job_id)
    update_job(
        session,
        claim.job_id,
        status=target,
        worker_id=None,
        lease_expires_at=None,
        rung_at=None,
        retry_at=database_now() + retry_in if retry_in and target is JobStatus.QUEUED else None,
        stage=None,
        epoch=None,
        step=None,
        phase=None,
        phase_progress=None,
        progress=points[0].progress if points else 0.0,
        eta_seconds=None,
    )
    _end_attempt(session, claim.job_id, claim.attempt, target, reason)
    append_event(session, claim.job_id, StatusChanged(status=target, previous=current, reason=reason))
    return target


def _end_attempt(session: Session, job_id: str, attempt: int, outcome: JobStatus, reason: str | None) -> None:
    ended = session.execute(
        update(Attempt)
        .where(col(Attempt.job_id) == job_id, col(Attempt.number) == attempt, col(Attempt.ended_at).is_(None))
        .values(ended_at=database_now(), outcome=outcome, reason=reason)
        .returning(col(Attempt.started_at), col(Attempt.heard_at), col(Attempt.ended_at))
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if ended is not None:
        until = ended.ended_at if outcome is JobStatus.SUCCEEDED else ended.heard_at or ended.started_at
        update_job(session, job_id, seconds_worked=Job.seconds_worked + max(0.0, until - ended.started_at))


def _duration(session: Session, job_id: str) -> dict[str, Any]:
    """Return the predicted and the actual duration of a job that ends, if it has a prediction."""
    job = queries.fresh(session, job_id)
    predicted = view_predicted(job, queries.latest_metric(session, job))
    actual = view_actual(job, session.get(Attempt, (job_id, job.attempt), populate_existing=True), predicted)
    if predicted is None or actual is None:
        return {}
    return {"predicted": predicted, "actual": actual}
