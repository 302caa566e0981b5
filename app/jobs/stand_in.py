"""Which checkpoint stands in for a job's best one when that is gone."""

from collections.abc import Callable

from sqlmodel import Session, col, select

from app.jobs import queries
from app.jobs.checkpoint_files import checkpoint_files
from app.jobs.resume import StoredFile
from app.jobs.tables import Job, JobEvent


def put_in_place(session: Session, job: Job, is_usable: Callable[[StoredFile], bool] = lambda _: True) -> bool:
    """Make the newest checkpoint that is still kept, such as a pinned one, the locked job's; None where there is none.

    `is_usable` tells of each file whether it may serve. Returns whether one stands in.
    """
    kept = {(artifact.key, artifact.sha256) for artifact in queries.artifacts(session, job.id)}
    told = session.exec(
        select(JobEvent.data)
        .where(JobEvent.job_id == job.id, JobEvent.kind == "checkpoint")
        .order_by(col(JobEvent.number).desc())
    )
    for checkpoint in told:
        files = checkpoint_files(checkpoint)
        if all((file.key, file.sha256) in kept and is_usable(file) for file in files):
            job.checkpoint = dict(checkpoint)
            return True
    job.checkpoint = None
    return False
