"""Read-only queries of jobs, epochs, events, attempts and files."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, and_, func, or_
from sqlmodel import Session, col, select

from app.database import database_now
from app.finetune.job_kinds import FINETUNING, kind_of, stored_kinds
from app.jobs.errors import JobNotFound
from app.jobs.resume import ResumePoint
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Attempt, EpochMetric, Job, JobEvent, WorkerSeen


def get(session: Session, job_id: str) -> Job:
    """Return the job. Raises JobNotFound."""
    job = session.get(Job, job_id) if job_id.isalnum() else None
    if job is None:
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
    return session.exec(select(Job).where(Job.idempotency_key == key)).one_or_none()


def page(
    session: Session, *, statuses: Sequence[JobStatus], before: str | None, limit: int, kind: str = FINETUNING
) -> list[Job]:
    """Return jobs of one kind, newest first, older than the job `before`."""
    query = select(Job).where(Job.kind == kind_of(kind).stored).order_by(col(Job.id).desc()).limit(limit)
    if statuses:
        query = query.where(col(Job.status).in_(statuses))
    if before is not None:
        query = query.where(col(Job.id) < before)
    return list(session.exec(query))


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
    """Return the job to claim next: the highest priority, then the longest in the queue."""
    query = (
        select(Job)
        .where(Job.status == JobStatus.QUEUED, is_due(), col(Job.id).not_in(excluding))
        .order_by(col(Job.priority).desc(), col(Job.queued_at), col(Job.id))
        .limit(1)
    )
    return session.exec(query).first()


def queue_position(session: Session, job: Job) -> int:
    """Return the position in the queue: 1 is claimed next."""
    before = or_(
        col(Job.priority) > job.priority,
        (col(Job.priority) == job.priority) & (col(Job.queued_at) < job.queued_at),
        (col(Job.priority) == job.priority) & (col(Job.queued_at) == job.queued_at) & (col(Job.id) < job.id),
    )
    query = select(func.count()).where(col(Job.status) == JobStatus.QUEUED, before)
    return 1 + int(session.execute(query).scalar_one())


def metrics(session: Session, job: Job) -> list[EpochMetric]:
    """Return the epochs in the order of training, each once."""
    query = (
        select(EpochMetric).where(EpochMetric.job_id == job.id).order_by(col(EpochMetric.stage), col(EpochMetric.epoch))
    )
    return list(session.exec(query))


def latest_metric(session: Session, job: Job) -> EpochMetric | None:
    """Return the last epoch."""
    return _last_metric(session, col(EpochMetric.job_id) == job.id)


def best_metric(session: Session, job: Job) -> EpochMetric | None:
    """Return the best epoch, which is the last one marked as best."""
    return _last_metric(session, col(EpochMetric.job_id) == job.id, col(EpochMetric.best).is_(True))


def _last_metric(session: Session, *conditions: ColumnElement[bool]) -> EpochMetric | None:
    order = (col(EpochMetric.stage).desc(), col(EpochMetric.epoch).desc())
    return session.exec(select(EpochMetric).where(*conditions).order_by(*order).limit(1)).first()


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


def seconds_since_worker(session: Session) -> float | None:
    """Return the seconds since a worker last reported, None without any."""
    seconds = session.execute(select(database_now() - func.max(WorkerSeen.seen_at))).scalar_one_or_none()
    return None if seconds is None else max(0.0, float(seconds))
