"""Shared parts of the transitions of a job. Each is one conditional UPDATE inside the caller's transaction.

A worker's writes carry its `Claim`: they change nothing and raise LeaseLost once another attempt has claimed the job,
the lease has expired or the job is in a final state. Each transition appends its event in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Update, tuple_
from sqlmodel import Session, col, delete, select, update

from app.api_models.events import StatusChanged, kind_of_event
from app.database import database_now
from app.finetune.dataset import JobWarning
from app.finetune.event_data import EventData, as_json
from app.jobs import queries
from app.jobs.attempt_errors import LeaseLost
from app.jobs.resume import ResumePoint
from app.jobs.states import CLAIMED, JobStatus
from app.jobs.status_log import log_status
from app.jobs.tables import Artifact, Attempt, EpochMetric, Job, JobEvent


@dataclass(frozen=True)
class Claim:
    """The right to run one attempt of a job while the lease lasts. `attempt` is the fencing token."""

    job_id: str
    attempt: int
    worker_id: str


def clock(session: Session) -> float:
    """Return the seconds since 1970 by the database's clock."""
    return float(session.execute(select(database_now())).scalar_one())


def add_warning(session: Session, job_id: str, warning: JobWarning) -> None:
    """Add a warning that comes from no worker."""
    job = queries.locked(session, job_id)
    content = as_json(warning)
    if content not in job.warnings:
        update_job(session, job_id, warnings=[*job.warnings, content])
        append_event(session, job_id, warning)


def append_event(session: Session, job_id: str, data: EventData) -> None:
    """Append the event that carries `data`; its kind follows from its type. The event is numbered under the row's lock,
    so that no reader with a cursor skips one."""
    number, attempt = session.execute(
        update(Job)
        .where(col(Job.id) == job_id)
        .values(event_count=Job.event_count + 1)
        .returning(col(Job.event_count), col(Job.attempt))
        .execution_options(synchronize_session=False)
    ).one()
    session.add(
        JobEvent(
            job_id=job_id,
            number=number,
            attempt=attempt,
            kind=kind_of_event(data),
            data=as_json(data),
            created_at=clock(session),
        )
    )
    if isinstance(data, StatusChanged):
        log_status(session, job_id, data)


def forget_artifacts(session: Session, keys: Sequence[str]) -> None:
    """Delete the rows of files; delete the files after the commit."""
    if keys:
        session.execute(delete(Artifact).where(col(Artifact.key).in_(keys)))


def write_claimed(session: Session, claim: Claim, **columns: object) -> JobStatus:
    """Change the row only while this claim holds it. Return the status that it then has."""
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


def update_job(
    session: Session, job_id: str, *, sources: Sequence[JobStatus] = tuple(JobStatus), **columns: object
) -> bool:
    """Change the row if its status is one of `sources`. Return whether it was."""
    statement: Update = update(Job).where(col(Job.id) == job_id, col(Job.status).in_(sources)).values(columns)
    changed = session.execute(statement.returning(col(Job.id)).execution_options(synchronize_session=False))
    return changed.one_or_none() is not None


def update_attempt(session: Session, claim: Claim, **columns: object) -> None:
    session.execute(
        update(Attempt)
        .where(col(Attempt.job_id) == claim.job_id, col(Attempt.number) == claim.attempt)
        .values(columns)
        .execution_options(synchronize_session=False)
    )


def cut_after(session: Session, job_id: str, point: ResumePoint | None) -> None:
    """Delete the metrics, states and unpinned checkpoints after the point."""
    reached = (0, 0) if point is None else (point.stage, point.epoch)
    session.execute(
        delete(EpochMetric).where(
            col(EpochMetric.job_id) == job_id,
            tuple_(col(EpochMetric.stage), col(EpochMetric.epoch)) > tuple_(*reached),
        )
    )
    kept: set[str] = set()
    if point is not None:
        points = queries.resume_points(session, job_id)
        newer = points[: next((i for i, each in enumerate(points) if each.state.key == point.state.key), 0)]
        kept = {each.state.key for each in points} - {each.state.key for each in newer}
        if point.checkpoint is not None:
            kept |= {file.key for file in point.checkpoint.files}
    rows = [artifact for artifact in queries.artifacts(session, job_id) if not artifact.pinned]
    forget_artifacts(session, [artifact.key for artifact in rows if artifact.key not in kept])
