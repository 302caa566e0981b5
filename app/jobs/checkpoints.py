"""Which file a download means: the best checkpoint of now, or that of one epoch."""

from sqlmodel import Session

from app.finetune.checkpoint import CheckpointFormat, WrittenFile
from app.jobs import queries
from app.jobs.errors import CheckpointNotKept, CheckpointNotReady, NoBackbone
from app.jobs.states import JobStatus
from app.jobs.tables import DSR_TRAINING


def find_checkpoint(
    session: Session,
    job_id: str,
    kind: CheckpointFormat,
    *,
    epoch: int | None = None,
    attempt: int | None = None,
) -> WrittenFile:
    """The best checkpoint so far, or the one of this epoch of stage 2 (of this attempt, else of the newest that wrote
    one). Raises JobNotFound, CheckpointNotReady, CheckpointNotKept or NoBackbone."""
    job = queries.get(session, job_id)
    if epoch is None:
        if job.checkpoint is None:
            raise CheckpointNotReady(job_id, JobStatus(job.status), job.kind)
        file = job.checkpoint.by_format.get(kind)
        if file is None:
            raise NoBackbone(job_id)
        return file
    if kind == "backbone" and job.kind == DSR_TRAINING:
        raise NoBackbone(job_id)
    kept = [artifact for artifact in queries.artifacts(session, job_id) if artifact.kind == kind]
    matching = [each for each in kept if each.epoch == epoch and attempt in (None, each.attempt)]
    if not matching:
        raise CheckpointNotKept(job_id, epoch, attempt, sorted({each.epoch for each in kept}))
    return max(matching, key=lambda each: each.attempt).file
