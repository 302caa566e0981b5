"""The file that a download selects: the best checkpoint so far, or that of one epoch."""

from sqlmodel import Session

from app.finetune.artifact_names import FORMATS
from app.finetune.checkpoint import WrittenFile
from app.finetune.job_kinds import kind_of
from app.jobs import queries
from app.jobs.errors import CheckpointNotKept, CheckpointNotReady, NoBackbone, NotExported
from app.jobs.states import JobStatus


def find_checkpoint(
    session: Session,
    job_id: str,
    file_format: str,
    *,
    epoch: int | None = None,
    attempt: int | None = None,
) -> WrittenFile:
    """Return the best checkpoint so far, or that of one epoch of the last stage.

    Without `attempt` the newest attempt that wrote the epoch is taken. Raises JobNotFound, CheckpointNotReady,
    CheckpointNotKept, NoBackbone or NotExported.
    """
    job = queries.get(session, job_id)
    kind = kind_of(job.kind)
    if kind.exports and FORMATS[file_format].part_of == "export":
        return find_export(session, job_id, file_format)
    if kind.checkpoint and file_format not in kind.checkpoint:
        raise NoBackbone(job_id, kind, file_format)
    if epoch is None:
        if job.checkpoint is None:
            raise CheckpointNotReady(job_id, JobStatus(job.status), kind)
        file = job.checkpoint.by_format.get(file_format)
        if file is None:
            raise NoBackbone(job_id, kind, file_format)
        return file
    kept = [artifact for artifact in queries.artifacts(session, job_id) if artifact.kind == file_format]
    matching = [each for each in kept if each.epoch == epoch and attempt in (None, each.attempt)]
    if not matching:
        raise CheckpointNotKept(job_id, epoch, attempt, sorted({each.epoch for each in kept}))
    return max(matching, key=lambda each: each.attempt).file


def find_export(session: Session, job_id: str, file_format: str) -> WrittenFile:
    """Return the newest file of this format, which the job wrote at its end. Raises JobNotFound or NotExported."""
    job = queries.get(session, job_id)
    for artifact in reversed(queries.artifacts(session, job_id)):
        if artifact.kind == file_format:
            return artifact.file
    raise NotExported(job_id, JobStatus(job.status), file_format)
