"""Which file a request for what was measured means."""

from typing import Literal, cast

from sqlmodel import Session

from app.finetune.checkpoint import WrittenFile
from app.jobs import queries
from app.jobs.errors import NotEvaluated
from app.jobs.states import JobStatus
from app.jobs.tables import JobKind

MeasuredFile = Literal["evaluation", "report"]


def find_measured(session: Session, job_id: str, kind: MeasuredFile) -> WrittenFile:
    """The newest of this kind. Raises JobNotFound or NotEvaluated."""
    job = queries.get(session, job_id)
    for artifact in reversed(queries.artifacts(session, job_id)):
        if artifact.kind == kind:
            return artifact.file
    raise NotEvaluated(job_id, JobStatus(job.status), cast("JobKind", job.kind))
