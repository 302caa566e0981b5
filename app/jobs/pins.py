"""Pins: checkpoints that a person wants kept, whatever better one comes and however old they get."""

from sqlmodel import Session, col, update

from app.finetune.job_kinds import kind_of
from app.jobs import queries
from app.jobs.errors import NothingToPin
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Job


def pin_best(session: Session, job_id: str) -> Job:
    """Pin both files of the checkpoint that is the best now; safe to repeat. Raises NothingToPin."""
    # Locked, so that no better one comes and no clean-up happens between looking and pinning.
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
    """Take every pin of the job away; safe to repeat. The files stay until the next clean-up."""
    job = queries.locked(session, job_id)
    session.execute(
        update(Artifact)
        .where(col(Artifact.job_id) == job_id, col(Artifact.pinned))
        .values(pinned=False)
        .execution_options(synchronize_session=False)
    )
    return job
