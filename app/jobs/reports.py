"""The files of a job's evaluation."""

from sqlmodel import Session

from app.finetune.checkpoint import WrittenFile
from app.finetune.job_kinds import kind_of
from app.jobs import queries
from app.jobs.errors import NotEvaluated
from app.jobs.states import JobStatus


def find_measured(session: Session, job_id: str, file_format: str) -> WrittenFile:
    """Return the newest file of this format. Raises JobNotFound or NotEvaluated."""
    job = queries.get(session, job_id)
    for artifact in reversed(queries.artifacts(session, job_id)):
        if artifact.kind == file_format:
            return artifact.file
    raise NotEvaluated(job_id, JobStatus(job.status), kind_of(job.kind))
