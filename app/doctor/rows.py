"""Checks of rows against each other."""

from collections.abc import Iterator
from functools import partial

from sqlalchemy import func, or_
from sqlmodel import Session, col, delete, select, update

from app.api_models.events import StatusChanged
from app.api_models.job_status import JobStatus
from app.cleaner import FORGET_WORKER_SECONDS, forget_gone_workers
from app.database import database_now
from app.deletion import count_of
from app.doctor.findings import Finding, Scope
from app.jobs import queries, rescue
from app.jobs.states import CLAIMED
from app.jobs.tables import Attempt, EpochMetric, Job, JobEvent, WorkerSeen
from app.jobs.transitions import fence


def leases_run_out(scope: Scope) -> Iterator[Finding]:
    """A claimed job has a lease, and a job whose lease has expired is rescued."""
    # A running service rescues it within one round.
    late = database_now() - 2 * scope.settings.rounds_seconds
    with scope.snapshot() as session:
        stuck = session.exec(
            select(Job.id, Job.status).where(
                col(Job.status).in_(CLAIMED),
                or_(col(Job.lease_expires_at).is_(None), col(Job.lease_expires_at) < late),
            )
        ).all()
    for job_id, status in stuck:
        yield Finding(
            f"job {job_id} is {status}, but its worker's lease has expired and no service has rescued it",
            "--repair queues it again or ends it, as a running service does",
            partial(_rescue, scope),
        )


def _rescue(scope: Scope) -> None:
    with scope.database.writing() as session:
        session.execute(
            update(Job)
            .where(col(Job.status).in_(CLAIMED), col(Job.lease_expires_at).is_(None))
            .values(lease_expires_at=0.0)
        )
    rescue.rescue_jobs(scope.database, rescue.loss_policy(scope.settings))


def leases_left_over(scope: Scope) -> Iterator[Finding]:
    """A job that no worker holds has no lease."""
    with scope.snapshot() as session:
        held = session.exec(
            select(Job.id, Job.status).where(col(Job.status).not_in(CLAIMED), col(Job.lease_expires_at).is_not(None))
        ).all()
    for job_id, status in held:
        yield Finding(
            f"job {job_id} is {status} and still has a lease",
            "--repair removes it",
            partial(_end_lease, scope, job_id),
        )


def _end_lease(scope: Scope, job_id: str) -> None:
    with scope.database.writing() as session:
        session.execute(
            update(Job).where(col(Job.id) == job_id, col(Job.status).not_in(CLAIMED)).values(lease_expires_at=None)
        )


def attempts_left_open(scope: Scope) -> Iterator[Finding]:
    """Every attempt has an end, except the newest of a claimed job."""
    with scope.snapshot() as session:
        left_open = session.exec(
            select(Attempt.job_id, Attempt.number)
            .join(Job, col(Job.id) == col(Attempt.job_id))
            .where(
                col(Attempt.ended_at).is_(None),
                or_(col(Job.status).not_in(CLAIMED), col(Attempt.number) < col(Job.attempt)),
            )
        ).all()
    for job_id, number in left_open:
        yield Finding(
            f"attempt {number} of job {job_id} has no end, though no worker runs it",
            "--repair sets its end to its last heartbeat",
            partial(_end_attempt, scope, job_id, number),
        )


def _end_attempt(scope: Scope, job_id: str, number: int) -> None:
    with scope.database.writing() as session:
        job = queries.locked(session, job_id)
        attempt = session.get_one(Attempt, (job_id, number))
        if attempt.ended_at is None and (job.status not in CLAIMED or number < job.attempt):
            attempt.ended_at = attempt.heard_at or attempt.started_at
            attempt.reason = "the end was not recorded"


def event_numbers(scope: Scope) -> Iterator[Finding]:
    """A job's events are numbered from 1 without gaps, and its row has the newest number."""
    count, newest = func.count(col(JobEvent.number)), func.coalesce(func.max(JobEvent.number), 0)
    with scope.snapshot() as session:
        wrong = session.exec(
            select(Job.id, Job.event_count, count, newest)
            .outerjoin(JobEvent, col(JobEvent.job_id) == col(Job.id))
            .group_by(col(Job.id), col(Job.event_count))
            .having(or_(count != Job.event_count, newest != Job.event_count))
        ).all()
    for job_id, expected, events, last in wrong:
        yield Finding(
            f"job {job_id} should have {count_of(expected, 'event')}, but has {events}, the newest with number {last}",
            "--repair fills the gaps with events of the kind `lost`, so that readers' cursors stay valid",
            partial(_number_events, scope, job_id),
        )


def _number_events(scope: Scope, job_id: str) -> None:
    with scope.database.writing() as session:
        job = queries.locked(session, job_id)
        numbers = set(session.exec(select(JobEvent.number).where(JobEvent.job_id == job_id)))
        job.event_count = max(numbers | {job.event_count})
        now = fence.clock(session)
        for number in set(range(1, job.event_count + 1)) - numbers:
            session.add(
                JobEvent(job_id=job_id, number=number, attempt=job.attempt, kind="lost", data={}, created_at=now)
            )


def epochs_shown_twice(scope: Scope) -> Iterator[Finding]:
    """Each (stage, epoch) of a job has one row of metrics."""
    columns = EpochMetric.job_id, EpochMetric.stage, EpochMetric.epoch
    with scope.snapshot() as session:
        twice = session.exec(select(*columns).group_by(*columns).having(func.count() > 1)).all()  # type: ignore[arg-type]
    for job_id, stage, epoch in twice:
        yield Finding(
            f"job {job_id} has epoch {epoch} of stage {stage} more than once",
            "--repair keeps the newest attempt's",
            partial(_keep_newest_epoch, scope, job_id, stage, epoch),
        )


def _keep_newest_epoch(scope: Scope, job_id: str, stage: int, epoch: int) -> None:
    with scope.database.writing() as session:
        queries.locked(session, job_id)
        same = (
            col(EpochMetric.job_id) == job_id,
            col(EpochMetric.stage) == stage,
            col(EpochMetric.epoch) == epoch,
        )
        newest = session.execute(select(func.max(EpochMetric.attempt)).where(*same)).scalar_one()
        session.execute(delete(EpochMetric).where(*same, col(EpochMetric.attempt) < newest))


def status_events(scope: Scope) -> Iterator[Finding]:
    """A job's last status event has the status of its row."""
    with scope.snapshot() as session:
        found = _status_rows(session)
    for job_id, status, reported in found:
        if status != reported:
            yield Finding(
                f"job {job_id} is {status}, but its last status event is {reported}",
                "--repair appends an event with the row's status",
                partial(_append_status, scope, job_id),
            )


def _status_rows(session: Session, job_id: str | None = None) -> list[tuple[str, str, str | None]]:
    """Return each job's id, its status and the status of its last status event."""
    last = (
        select(JobEvent.job_id, func.max(JobEvent.number).label("number"))
        .where(JobEvent.kind == "status")
        .group_by(col(JobEvent.job_id))
        .subquery()
    )
    rows = (
        select(Job.id, Job.status, JobEvent.data)
        .outerjoin(last, last.c.job_id == Job.id)
        .outerjoin(JobEvent, (col(JobEvent.job_id) == Job.id) & (col(JobEvent.number) == last.c.number))
    )
    if job_id is not None:
        rows = rows.where(Job.id == job_id)
    return [(each, status, None if data is None else data.get("status")) for each, status, data in session.exec(rows)]


def _append_status(scope: Scope, job_id: str) -> None:
    with scope.database.writing() as session:
        queries.locked(session, job_id)
        for _, status, reported in _status_rows(session, job_id):
            if status != reported:
                previous = JobStatus(reported) if reported in set(JobStatus) else None
                changed = StatusChanged(status=JobStatus(status), previous=previous, reason="appended by the doctor")
                fence.append_event(session, job_id, changed)


def workers_gone(scope: Scope) -> Iterator[Finding]:
    """Every listed worker has reported within a day."""
    with scope.snapshot() as session:
        gone = session.exec(
            select(WorkerSeen.id).where(col(WorkerSeen.seen_at) < database_now() - FORGET_WORKER_SECONDS)
        ).all()
    for worker_id in gone:
        yield Finding(
            f"worker {worker_id} has not reported for a day",
            "--repair removes it from the list; a restarted worker gets a new id",
            partial(forget_gone_workers, scope.database),
        )
