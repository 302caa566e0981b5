"""Replaces a job's best checkpoint when its files are gone."""

from collections.abc import Callable

from pydantic import TypeAdapter
from sqlmodel import Session, col, select

from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.jobs import queries
from app.jobs.tables import Job, JobEvent

_CHECKPOINT = TypeAdapter(Checkpoint)


def put_in_place(session: Session, job: Job, is_usable: Callable[[WrittenFile], bool] = lambda _: True) -> bool:
    """Set the locked job's checkpoint to the newest one that is still kept, such as a pinned one.

    `is_usable` decides for each file. Return whether a checkpoint was found.
    """
    kept = {(artifact.key, artifact.sha256) for artifact in queries.artifacts(session, job.id)}
    emitted = session.exec(
        select(JobEvent.data)
        .where(JobEvent.job_id == job.id, JobEvent.kind == "checkpoint")
        .order_by(col(JobEvent.number).desc())
    )
    for checkpoint in map(_CHECKPOINT.validate_python, emitted):
        if all((file.key, file.sha256) in kept and is_usable(file) for file in checkpoint.files):
            job.checkpoint = checkpoint
            return True
    job.checkpoint = None
    return False
