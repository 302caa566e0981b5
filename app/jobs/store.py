"""Every transition of a job, each one conditional UPDATE inside the caller's transaction.

A worker's writes carry its `Claim`: they change nothing and raise LeaseLost once another attempt has taken over, the
lease has run out or the job is in a final state. Each transition appends its event in the same transaction.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Update, func
from sqlmodel import Session, col, delete, select, update

from app.database import database_now
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.errors import ErrorReport
from app.jobs.errors import JobNotFound, LeaseLost, WorkerLost
from app.jobs.states import CLAIMED, TERMINAL, JobStatus
from app.jobs.tables import Attempt, EpochMetric, Job, JobEvent, WorkerSeen


@dataclass(frozen=True)
class Claim:
    """The right to run one attempt of a job, as long as the lease lasts. `attempt` is the fencing token."""

    job_id: str
    attempt: int
    worker_id: str


def clock(session: Session) -> float:
    """Seconds since 1970 by the database's clock."""
    return float(session.execute(select(database_now())).scalar_one())


def new_job_id() -> str:
    """Sorts by time (milliseconds) and cannot be guessed from another."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def submit(session: Session, config: FinetuneConfig, warnings: Sequence[JobWarning]) -> Job:
    """A new job, queued. Ring the bell after the commit."""
    job = Job(
        id=new_job_id(),
        config=config.model_dump(mode="json"),
        warnings=[warning.model_dump() for warning in warnings],
        created_at=clock(session),
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, "status", {"status": JobStatus.QUEUED, "previous": None})
    for warning in warnings:
        append_event(session, job.id, "warning", warning.model_dump())
    session.refresh(job)
    return job


def get(session: Session, job_id: str) -> Job:
    """Raises JobNotFound."""
    job = session.get(Job, job_id) if job_id.isalnum() else None
    if job is None:
        raise JobNotFound(job_id)
    return job


def page(session: Session, *, statuses: Sequence[JobStatus], before: str | None, limit: int) -> list[Job]:
    """Jobs, newest first, older than the job `before`."""
    query = select(Job).order_by(col(Job.id).desc()).limit(limit)
    if statuses:
        query = query.where(col(Job.status).in_(statuses))
    if before is not None:
        query = query.where(col(Job.id) < before)
    return list(session.exec(query))


def metrics(session: Session, job: Job) -> list[EpochMetric]:
    """Every epoch of the newest attempt, in the order trained."""
    query = (
        select(EpochMetric)
        .where(EpochMetric.job_id == job.id, EpochMetric.attempt == job.attempt)
        .order_by(col(EpochMetric.stage), col(EpochMetric.epoch))
    )
    return list(session.exec(query))


def events_after(session: Session, job_id: str, number: int, limit: int = 1000) -> list[JobEvent]:
    """Events numbered above `number`, oldest first."""
    query = (
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.number > number)
        .order_by(col(JobEvent.number))
        .limit(limit)
    )
    return list(session.exec(query))


def claim_next(session: Session, worker_id: str, lease_seconds: float) -> Claim | None:
    """Take the job that has waited longest, or None. Of two workers that ask at once, one gets it."""
    oldest = (
        select(Job.id)
        .where(Job.status == JobStatus.QUEUED)
        .order_by(col(Job.id))
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    claimed = session.execute(
        update(Job)
        .where(col(Job.id) == oldest, col(Job.status) == JobStatus.QUEUED)
        .values(
            status=JobStatus.PREPARING,
            attempt=Job.attempt + 1,
            worker_id=worker_id,
            lease_expires_at=database_now() + lease_seconds,
            started_at=func.coalesce(Job.started_at, database_now()),
            stage=None,
            epoch=None,
            progress=0.0,
            eta_seconds=None,
        )
        .returning(col(Job.id), col(Job.attempt))
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if claimed is None:
        return None
    claim = Claim(claimed[0], claimed[1], worker_id)
    session.add(Attempt(job_id=claim.job_id, number=claim.attempt, worker_id=worker_id, started_at=clock(session)))
    append_event(
        session,
        claim.job_id,
        "status",
        {"status": JobStatus.PREPARING, "previous": JobStatus.QUEUED, "worker": worker_id},
    )
    return claim


def renew_lease(session: Session, claim: Claim, lease_seconds: float) -> JobStatus:
    """Keep the claim for another `lease_seconds`; the status tells whether a cancel was asked for."""
    return _write_claimed(session, claim, lease_expires_at=database_now() + lease_seconds)


def record_running(session: Session, claim: Claim, facts: dict[str, Any]) -> None:
    """The dataset is prepared and training begins: the job is `running`, unless a cancel came first."""
    if _write_claimed(session, claim, facts=facts) is JobStatus.PREPARING:
        _write_claimed(session, claim, status=JobStatus.RUNNING)
        append_event(session, claim.job_id, "status", {"status": JobStatus.RUNNING, "previous": JobStatus.PREPARING})
    append_event(session, claim.job_id, "prepared", facts)


def record_progress(
    session: Session, claim: Claim, *, progress: float, eta_seconds: float | None, stage: int | None, epoch: int | None
) -> None:
    """Where the training is. Makes no event: a reader of events sees each epoch anyway."""
    _write_claimed(session, claim, progress=progress, eta_seconds=eta_seconds, stage=stage, epoch=epoch)


def record_epoch(session: Session, claim: Claim, epoch: dict[str, Any]) -> None:
    """The metrics of one epoch, by the field names of `EpochMetric`."""
    _write_claimed(session, claim, stage=epoch["stage"], epoch=epoch["epoch"])
    session.add(EpochMetric(job_id=claim.job_id, attempt=claim.attempt, created_at=clock(session), **epoch))
    append_event(session, claim.job_id, "epoch", epoch)


def record_warning(session: Session, claim: Claim, warning: JobWarning) -> None:
    """A warning on the job; one that it has already is not repeated."""
    _write_claimed(session, claim)
    job = get(session, claim.job_id)
    told = warning.model_dump()
    if told not in job.warnings:
        _write_claimed(session, claim, warnings=[*job.warnings, told])
        append_event(session, claim.job_id, "warning", told)


def record_event(session: Session, claim: Claim, kind: str, data: dict[str, Any], **columns: object) -> None:
    """An event, and with it the columns of the job that it changes."""
    _write_claimed(session, claim, **columns)
    append_event(session, claim.job_id, kind, data)


def finish(
    session: Session, claim: Claim, status: JobStatus, error: ErrorReport | None = None, **columns: object
) -> None:
    """Write the final state of the claimed job. One asked to cancel may still succeed or fail: what happened counts."""
    _write_claimed(session, claim, **columns)
    _settle(session, claim.job_id, claim.attempt, status, error)


def hand_back(session: Session, claim: Claim, reason: str) -> JobStatus:
    """The worker stops on purpose: the job is queued again, or cancelled if that was asked for. Spends no try."""
    current = _write_claimed(session, claim)
    return _release(session, claim.job_id, claim.attempt, current, reason)


def lose_trainer(session: Session, claim: Claim, died: ErrorReport, max_losses: int) -> JobStatus:
    """The trainer of a claimed job died: the job is queued again, or failed at its loss number `max_losses`."""
    current = _write_claimed(session, claim, worker_losses=Job.worker_losses + 1)
    losses = _fresh(session, claim.job_id).worker_losses
    return _settle_loss(session, claim, current, died.message, died if losses >= max_losses else None)


def expire_leases(session: Session, max_losses: int) -> list[str]:
    """Move on every claimed job whose lease ran out: it is queued again, or failed at its loss number `max_losses`.

    The ids of those that are queued again."""
    expired = session.execute(
        update(Job)
        .where(col(Job.status).in_(CLAIMED), col(Job.lease_expires_at) < database_now())
        .values(worker_losses=Job.worker_losses + 1, lease_expires_at=None)
        .returning(col(Job.id), col(Job.attempt), col(Job.worker_id), col(Job.status), col(Job.worker_losses))
        .execution_options(synchronize_session=False)
    ).all()
    requeued = []
    for job_id, attempt, worker_id, status, losses in expired:
        error = WorkerLost(losses).report() if losses >= max_losses else None
        claim = Claim(job_id, attempt, worker_id)
        reason = f"worker {worker_id} was silent for the length of its lease"
        if _settle_loss(session, claim, JobStatus(status), reason, error) is JobStatus.QUEUED:
            requeued.append(job_id)
    return requeued


def request_cancel(session: Session, job_id: str) -> Job:
    """Cancel a queued job at once; ask a claimed one to stop; leave an ended one as it is. Safe to repeat."""
    queued = session.execute(_transition(job_id, [JobStatus.QUEUED], JobStatus.CANCELLED, finished_at=database_now()))
    if queued.one_or_none() is not None:
        append_event(
            session, job_id, "status", {"status": JobStatus.CANCELLED, "previous": JobStatus.QUEUED, "error": None}
        )
        return _fresh(session, job_id)
    previous = get(session, job_id).status
    claimed = session.execute(
        _transition(job_id, [JobStatus.PREPARING, JobStatus.RUNNING], JobStatus.CANCELLING, eta_seconds=None)
    )
    if claimed.one_or_none() is not None:
        append_event(session, job_id, "status", {"status": JobStatus.CANCELLING, "previous": previous})
    return _fresh(session, job_id)


def take_unrung(session: Session, ring_again_seconds: float) -> bool:
    """Whether a queued job's bell is due (never rung, or rung this long ago); marks it as rung."""
    rung = session.execute(
        update(Job)
        .where(
            col(Job.status) == JobStatus.QUEUED,
            func.coalesce(Job.rung_at, 0.0) < database_now() - ring_again_seconds,
        )
        .values(rung_at=database_now())
        .returning(col(Job.id))
        .execution_options(synchronize_session=False)
    ).all()
    return bool(rung)


def report_worker(session: Session, worker_id: str, hostname: str) -> None:
    """The worker is alive now."""
    now = clock(session)
    worker = session.get(WorkerSeen, worker_id)
    if worker is None:
        session.add(WorkerSeen(id=worker_id, hostname=hostname, started_at=now, seen_at=now))
    else:
        worker.seen_at = now


def forget_worker(session: Session, worker_id: str) -> None:
    """The worker stopped on purpose."""
    session.execute(delete(WorkerSeen).where(col(WorkerSeen.id) == worker_id))


def seconds_since_worker(session: Session) -> float | None:
    """How long ago any worker reported; None if none is known."""
    seconds = session.execute(select(database_now() - func.max(WorkerSeen.seen_at))).scalar_one_or_none()
    return None if seconds is None else max(0.0, float(seconds))


def queue_position(session: Session, job: Job) -> int:
    """1 for the queued job that is claimed next."""
    query = select(func.count()).where(col(Job.status) == JobStatus.QUEUED, col(Job.id) <= job.id)
    return int(session.execute(query).scalar_one())


def append_event(session: Session, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Number the event under the row's lock, so that no reader with a cursor ever skips one."""
    number, attempt = session.execute(
        update(Job)
        .where(col(Job.id) == job_id)
        .values(event_count=Job.event_count + 1)
        .returning(col(Job.event_count), col(Job.attempt))
        .execution_options(synchronize_session=False)
    ).one()
    session.add(
        JobEvent(job_id=job_id, number=number, attempt=attempt, kind=kind, data=data, created_at=clock(session))
    )


def _write_claimed(session: Session, claim: Claim, **columns: object) -> JobStatus:
    """The fence: change the row only while this claim holds it. Returns the status it then has."""
    status = session.execute(
        update(Job)
        .where(
            col(Job.id) == claim.job_id,
            col(Job.attempt) == claim.attempt,
            col(Job.worker_id) == claim.worker_id,
            col(Job.status).in_(CLAIMED),
            col(Job.lease_expires_at) >= database_now(),
        )
        .values(columns or {"attempt": claim.attempt})
        .returning(col(Job.status))
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if status is None:
        raise LeaseLost(claim.job_id, claim.attempt)
    return JobStatus(status)


def _transition(job_id: str, sources: Sequence[JobStatus], target: JobStatus, **columns: object) -> Any:
    statement: Update = update(Job).where(col(Job.id) == job_id, col(Job.status).in_(sources))
    return (
        statement.values(status=target, **columns).returning(col(Job.id)).execution_options(synchronize_session=False)
    )


def _settle(session: Session, job_id: str, attempt: int, status: JobStatus, error: ErrorReport | None) -> None:
    """Write a final state with its event; the caller holds the row."""
    previous = JobStatus(_fresh(session, job_id).status)
    told = None if error is None else error.model_dump()
    progress = {"progress": 1.0} if status is JobStatus.SUCCEEDED else {}
    session.execute(
        _transition(
            job_id,
            list(set(JobStatus) - TERMINAL),
            status,
            error=told,
            finished_at=database_now(),
            lease_expires_at=None,
            eta_seconds=None,
            **progress,
        )
    )
    _end_attempt(session, job_id, attempt, status)
    append_event(session, job_id, "status", {"status": status, "previous": previous, "error": told})


def _settle_loss(
    session: Session, claim: Claim, current: JobStatus, reason: str, error: ErrorReport | None
) -> JobStatus:
    """Queue the job again, or fail it where there is an error; the caller holds the row."""
    if error is not None and current is not JobStatus.CANCELLING:
        _settle(session, claim.job_id, claim.attempt, JobStatus.FAILED, error)
        return JobStatus.FAILED
    return _release(session, claim.job_id, claim.attempt, current, reason)


def _release(session: Session, job_id: str, attempt: int, current: JobStatus, reason: str) -> JobStatus:
    """Put the job back to queued, or cancel it if that was asked for; the caller holds the row."""
    if current is JobStatus.CANCELLING:
        _settle(session, job_id, attempt, JobStatus.CANCELLED, None)
        return JobStatus.CANCELLED
    session.execute(
        _transition(
            job_id,
            [JobStatus.PREPARING, JobStatus.RUNNING],
            JobStatus.QUEUED,
            worker_id=None,
            lease_expires_at=None,
            rung_at=None,
            stage=None,
            epoch=None,
            progress=0.0,
            eta_seconds=None,
        )
    )
    _end_attempt(session, job_id, attempt, JobStatus.QUEUED)
    append_event(session, job_id, "status", {"status": JobStatus.QUEUED, "previous": current, "reason": reason})
    return JobStatus.QUEUED


def _end_attempt(session: Session, job_id: str, attempt: int, outcome: JobStatus) -> None:
    session.execute(
        update(Attempt)
        .where(col(Attempt.job_id) == job_id, col(Attempt.number) == attempt)
        .values(ended_at=database_now(), outcome=outcome)
        .execution_options(synchronize_session=False)
    )


def _fresh(session: Session, job_id: str) -> Job:
    job = get(session, job_id)
    session.refresh(job)
    return job
