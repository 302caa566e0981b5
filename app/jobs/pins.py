"""Pins: checkpoints that a user keeps even if a better one follows or they expire."""

from sqlmodel import Session, col, update

from app.finetune.job_kinds import kind_of
from app.jobs import queries
from app.jobs.errors import NothingToPin
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Job


def pin_best(session: Session, job_id: str) -> Job:
    """Pin all files of the current best checkpoint. Idempotent. Raises NothingToPin."""
    # Lock the job, so that no better checkpoint and no clean-up comes in between.
    job = queries.locked(session, job_id)
    if job.checkpoint is None:
        raise NothingToPin(job_id, JobStatus(job.status), kind_of(job.kind))
    keys = [file.key for file in job.checkpoint.files]
    pinned = session.execute(
        update(Artifact)
        .where(col(Artifact.job_id) == job_id, col(Artifact.key).in_(keys))
        .values(pinned=True)
        .returning(col(Artifact.key))
        .execution_options(synchronize_session=False)
    ).all()
    if not pinned:
        raise NothingToPin(job_id, JobStatus(job.status), kind_of(job.kind))
    return job


def unpin(session: Session, job_id: str) -> Job:
    """Remove all pins of the job. Idempotent. The files stay until the next clean-up."""
    job = queries.locked(session, job_id)
    session.execute(
        update(Artifact)
        .where(col(Artifact.job_id) == job_id, col(Artifact.pinned))
        .values(pinned=False)
        .execution_options(synchronize_session=False)
    )
    return job
