"""Deletion of jobs that have ended.

The rows go first, in one transaction that adds a `DeletedJob`. The folder goes after the commit. A process killed
between the two leaves a folder that no row names; the cleaner finds it by the `DeletedJob`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import String, cast, func
from sqlmodel import Session, col, delete, select, update

from app.access.acting import caller_of
from app.database import Database
from app.deletion import Freed
from app.finetune.config import OF_JOB
from app.finetune.counted import counted
from app.finetune.errors import name_some
from app.jobs import queries
from app.jobs.errors import JobInUse, NotDeletable
from app.jobs.made_weights import job_named
from app.jobs.states import JobStatus
from app.jobs.tables import (
    Artifact,
    Attempt,
    Dataset,
    DeletedJob,
    EpochMetric,
    Job,
    JobEvent,
    JobLogLine,
    Upload,
    UploadedInput,
)
from app.jobs.transitions.fence import clock

KEEP_SECONDS = 30 * 86_400.0
"""How long a `DeletedJob` is kept: as long, a repeated request makes no second job."""


def delete_job(session: Session, job_id: str, *, force: bool = False) -> Job:
    """Delete the rows of a job that has ended, and return it as it was. Call `delete_folder` after the commit.

    Raises JobNotFound, NotDeletable, and JobInUse unless `force`.
    """
    job = queries.locked(session, job_id)
    if not JobStatus(job.status).terminal:
        raise NotDeletable(job_id, JobStatus(job.status))
    if not force and (needs := list(_needs(session, job_id))):
        raise JobInUse(job_id, needs)
    gone = DeletedJob(id=job.id, owner=job.owner, idempotency_key=job.idempotency_key, deleted_at=clock(session))
    session.expunge(job)
    delete_rows(session, job_id)
    for table, column in ((Dataset, "check_job_id"), (Upload, "job_id"), (UploadedInput, "job_id")):
        named = update(table).where(getattr(table, column) == job_id).values({column: None})
        session.execute(named.execution_options(synchronize_session=False))
    session.add(gone)
    session.flush()
    return job


def delete_rows(session: Session, job_id: str) -> None:
    """Delete the row of the job and the rows that refer to it."""
    for table in (JobLogLine, JobEvent, EpochMetric, Artifact, Attempt):
        session.execute(delete(table).where(col(table.job_id) == job_id))
    session.execute(delete(Job).where(col(Job.id) == job_id).execution_options(synchronize_session=False))


def delete_folder(artifacts_dir: Path, job_id: str) -> Freed:
    """Delete the files of a job without rows. Safe to repeat and to interrupt. What cannot be deleted stays."""
    folder = artifacts_dir / job_id
    sizes = [path.lstat().st_size for path in _files(folder)]
    shutil.rmtree(folder, ignore_errors=True)
    return Freed() if folder.exists() else Freed(len(sizes), sum(sizes))


def clean_deleted(database: Database, artifacts_dir: Path) -> Freed:
    """Delete the folders that a killed process, or a trainer that outlived its job, left. Forget old deletions."""
    with database.reading() as session:
        old = clock(session) - KEEP_SECONDS
        gone = session.exec(select(DeletedJob.id, DeletedJob.deleted_at)).all()
    left = folders_left(database, artifacts_dir)
    freed = sum((delete_folder(artifacts_dir, job_id) for job_id in left), start=Freed())
    if forgotten := [job_id for job_id, at in gone if at < old and not (artifacts_dir / job_id).exists()]:
        with database.writing() as session:
            session.execute(delete(DeletedJob).where(col(DeletedJob.id).in_(forgotten)))
    return freed


def folders_left(database: Database, artifacts_dir: Path) -> list[str]:
    """Return the deleted jobs whose folders are still there."""
    with database.reading() as session:
        gone = session.exec(select(DeletedJob.id).order_by(DeletedJob.id)).all()
    return [job_id for job_id in gone if (artifacts_dir / job_id).is_dir()]


def _needs(session: Session, job_id: str) -> Iterator[str]:
    """Yield what needs the job, each in words. Jobs that the session's caller may not see are counted, not named."""
    caller = caller_of(session)
    names_it = cast(col(Job.config), String).contains(f'"{OF_JOB}{job_id}"')
    users = [
        job
        for job in session.exec(select(Job).where(names_it, Job.id != job_id).order_by(col(Job.id)))
        if job_id in map(job_named, job.config.values())
    ]
    if users:
        seen = [job.id for job in users if caller.may_see(job.owner, job.shared)]
        named = f" ({name_some(seen)})" if seen else ""
        yield f"{counted(len(users), 'job')}{named} named its weights"
    pinned = select(func.count(func.distinct(Artifact.epoch))).where(Artifact.job_id == job_id, col(Artifact.pinned))
    if pins := session.exec(pinned).one():
        yield f"{counted(pins, 'checkpoint')} of it {'is' if pins == 1 else 'are'} pinned"
    made = select(UploadedInput.name).where(UploadedInput.job_id == job_id).order_by(col(UploadedInput.name))
    if names := session.exec(made).all():
        yield f"it made the dataset {name_some(names)}"
    checked = select(Dataset.name).where(Dataset.check_job_id == job_id, col(Dataset.checked_at).is_not(None))
    if names := session.exec(checked).all():
        yield f"it is the last check of the dataset {name_some(names)}"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
