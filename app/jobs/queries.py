"""Read-only queries of jobs, epochs, events, attempts and files."""

import itertools
from collections.abc import Collection

from sqlalchemy import ColumnElement, and_, case, func, or_, true
from sqlalchemy import select as select_columns
from sqlmodel import Session, col, select

from app.access.acting import caller_of
from app.access.callers import ADMIN_OWNER
from app.database import database_now
from app.finetune.job_kinds import stored_kinds
from app.jobs.errors import JobNotFound
from app.jobs.resume import ResumePoint
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Attempt, DeletedJob, EpochMetric, Job, JobEvent, OwnerTurn, WorkerSeen


def get(session: Session, job_id: str) -> Job:
    """Return the job. Raises JobNotFound, also for one that the session's caller may not see."""
    job = session.get(Job, job_id) if job_id.isalnum() else None
    if job is None or not caller_of(session).may_see(job.owner, job.shared):
        raise JobNotFound(job_id)
    return job


def fresh(session: Session, job_id: str) -> Job:
    """Return the job from its current row, not from the session's cache. Raises JobNotFound."""
    job = get(session, job_id)
    session.refresh(job)
    return job


def locked(session: Session, job_id: str) -> Job:
    """Like `fresh`, and lock the row until this transaction ends. Raises JobNotFound."""
    job = get(session, job_id)
    session.refresh(job, with_for_update=True)
    return job


def by_idempotency_key(session: Session, key: str) -> Job | None:
    """Return the job that the session's caller submitted with the key. Admins also find jobs from before there were
    owners, which belong to `admin`."""
    owners = _owners_of_keys(session)
    found = session.exec(select(Job).where(col(Job.owner).in_(owners), Job.idempotency_key == key)).all()
    return min(found, key=lambda job: owners.index(job.owner), default=None)


def deleted_by_key(session: Session, key: str) -> DeletedJob | None:
    """Return the deleted job that the session's caller had submitted with the key."""
    owners = _owners_of_keys(session)
    gone = select(DeletedJob).where(col(DeletedJob.owner).in_(owners), DeletedJob.idempotency_key == key)
    return session.exec(gone.order_by(col(DeletedJob.deleted_at).desc())).first()


def _owners_of_keys(session: Session) -> list[str]:
    caller = caller_of(session)
    return [caller.name, *([ADMIN_OWNER] if caller.is_admin else [])]


def is_visible(session: Session) -> ColumnElement[bool]:
    """Return the condition that the session's caller may see a job."""
    caller = caller_of(session)
    return true() if caller.is_admin else or_(col(Job.shared), col(Job.owner) == caller.name)


def count_queued(session: Session, owner: str) -> int:
    """Return the number of queued jobs of all kinds that belong to `owner`."""
    query = select(func.count()).select_from(Job).where(Job.status == JobStatus.QUEUED, Job.owner == owner)
    return session.exec(query).one()


def is_due() -> ColumnElement[bool]:
    """Condition that a worker of this version may claim a queued job now."""
    return and_(is_of_known_kind(), or_(col(Job.retry_at).is_(None), col(Job.retry_at) <= database_now()))


def is_of_known_kind() -> ColumnElement[bool]:
    return col(Job.kind).in_(stored_kinds())


def of_later_versions(session: Session) -> list[Job]:
    """Return queued jobs of kinds unknown to this version, the oldest first."""
    query = select(Job).where(Job.status == JobStatus.QUEUED, ~is_of_known_kind()).order_by(col(Job.id))
    return list(session.exec(query))


def next_queued(session: Session, excluding: Collection[str] = ()) -> Job | None:
    """Return the job to claim next: the highest priority, then the owner whose last claim is the longest ago, then the
    longest in the queue."""
    query = (
        select(Job)
        .join(OwnerTurn, col(OwnerTurn.owner) == col(Job.owner), isouter=True)
        .where(Job.status == JobStatus.QUEUED, is_due(), col(Job.id).not_in(excluding))
        .order_by(
            col(Job.priority).desc(),
            func.coalesce(col(OwnerTurn.claimed_at), 0.0),
            col(Job.queued_at),
            col(Job.id),
        )
        .limit(1)
    )
    return session.exec(query).first()


def queue_position(session: Session, job: Job) -> int:
    """Return the position in the queue: 1 is claimed next. Owners of equal priority take turns."""
    queued = col(Job.status) == JobStatus.QUEUED
    higher = select(func.count()).where(queued, col(Job.priority) > job.priority)
    earlier = or_(col(Job.queued_at) < job.queued_at, and_(col(Job.queued_at) == job.queued_at, col(Job.id) < job.id))
    first = (func.coalesce(func.max(OwnerTurn.claimed_at), 0.0), func.min(Job.queued_at), func.min(Job.id))
    waiting = session.execute(
        select_columns(col(Job.owner), func.count(), func.sum(case((earlier, 1), else_=0)), *first)
        .join(OwnerTurn, col(OwnerTurn.owner) == col(Job.owner), isouter=True)
        .where(queued, col(Job.priority) == job.priority)
        .group_by(col(Job.owner))
    ).all()
    mine = next((row for row in waiting if row[0] == job.owner), None)
    if mine is None:
        return 1
    rounds = int(mine[2])
    before = sum(min(int(row[1]), rounds + (tuple(row[3:]) < tuple(mine[3:]))) for row in waiting if row is not mine)
    return 1 + int(session.execute(higher).scalar_one()) + rounds + before


def metrics(session: Session, job: Job) -> list[EpochMetric]:
    """Return the epochs in the order of training, each once."""
    query = (
        select(EpochMetric).where(EpochMetric.job_id == job.id).order_by(col(EpochMetric.stage), col(EpochMetric.epoch))
    )
    return list(session.exec(query))


def latest_metric(session: Session, job: Job) -> EpochMetric | None:
    """Return the last epoch."""
    order = (col(EpochMetric.stage).desc(), col(EpochMetric.epoch).desc())
    return session.exec(select(EpochMetric).where(EpochMetric.job_id == job.id).order_by(*order).limit(1)).first()


def events_after(session: Session, job_id: str, number: int, limit: int = 1000) -> list[JobEvent]:
    """Return events numbered above `number`, oldest first."""
    query = (
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.number > number)
        .order_by(col(JobEvent.number))
        .limit(limit)
    )
    return list(session.exec(query))


def attempts(session: Session, job_id: str) -> list[Attempt]:
    """Return the attempts at the job, oldest first."""
    return list(session.exec(select(Attempt).where(Attempt.job_id == job_id).order_by(col(Attempt.number))))


def newest_ends_for(session: Session, job_id: str, reason: str) -> int:
    """Return how many of the job's newest attempts that have ended did so for this reason, without another between."""
    ended = [each.reason for each in attempts(session, job_id) if each.ended_at is not None]
    return sum(1 for _ in itertools.takewhile(lambda each: each == reason, reversed(ended)))


def artifacts(session: Session, job_id: str) -> list[Artifact]:
    """Return the job's files, oldest first."""
    return list(
        session.exec(
            select(Artifact).where(Artifact.job_id == job_id).order_by(col(Artifact.sequence), col(Artifact.key))
        )
    )


def resume_points(session: Session, job_id: str) -> list[ResumePoint]:
    """Return the saved states that the next attempt can resume from, newest first."""
    states = [artifact for artifact in artifacts(session, job_id) if artifact.kind == "state"]
    return [state.resume_point for state in reversed(states) if state.resume_point is not None]


def workers_seen(session: Session, seconds: float) -> list[tuple[WorkerSeen, float]]:
    """Return the workers that reported in the last `seconds`, the oldest first, and how many seconds ago each did."""
    ago = database_now() - WorkerSeen.seen_at
    query = select(WorkerSeen, ago).where(ago <= seconds).order_by(col(WorkerSeen.started_at), col(WorkerSeen.id))
    return [(worker, max(0.0, float(seconds_ago))) for worker, seconds_ago in session.execute(query).all()]


def seconds_since_worker(session: Session) -> float | None:
    """Return the seconds since a worker last reported, None without any."""
    seconds = session.execute(select(database_now() - func.max(WorkerSeen.seen_at))).scalar_one_or_none()
    return None if seconds is None else max(0.0, float(seconds))
