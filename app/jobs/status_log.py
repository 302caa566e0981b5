"""One line for each change of a job's status that a person may look for: in the log of the process, after the commit,
and in that of the job."""

import logging
from datetime import timedelta

from sqlalchemy import event
from sqlmodel import Session, col, select

from app.api_models.events import StatusChanged
from app.finetune.job_kinds import known_kind
from app.jobs.job_log import add_line
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.tracing import trace_submitted

_log = logging.getLogger(__name__)


def log_status(session: Session, job_id: str, changed: StatusChanged) -> None:
    """Add the change, which the row has already, to the log of the job, and to that of the process when the transaction
    of `session` has committed."""
    columns = (col(Job.kind), col(Job.attempt), col(Job.seconds_worked), col(Job.verdict))
    kind, attempt, seconds_worked, verdict = session.execute(select(*columns).where(col(Job.id) == job_id)).one()
    known = known_kind(kind)
    worked = timedelta(seconds=round(seconds_worked))
    if (line := _line(changed, attempt, worked, verdict)) is None:
        return
    title = kind if known is None else known.title
    level = logging.WARNING if changed.status is JobStatus.FAILED else logging.INFO
    add_line(session, job_id, attempt, logging.getLevelName(level).lower(), f"{title} {line}")

    def write(_: Session) -> None:
        _log.log(level, "job %s: %s %s", job_id, title, line)
        if changed.status is JobStatus.QUEUED and changed.previous is None:
            trace_submitted(job_id, kind)

    event.listen(session, "after_commit", write, once=True)


def _line(changed: StatusChanged, attempt: int, worked: timedelta, verdict: str | None) -> str | None:
    match changed.status:
        case JobStatus.QUEUED if changed.previous is None:
            return "is queued"
        case JobStatus.QUEUED:
            return f"is queued again: {changed.reason}"
        case JobStatus.PREPARING:
            return f"starts, attempt {attempt}, on worker {changed.worker}"
        case JobStatus.PAUSED:
            return f"is paused after {worked} of work"
        case JobStatus.CANCELLED:
            return f"is cancelled after {worked} of work"
        case JobStatus.SUCCEEDED:
            return f"succeeded after {worked} of work" + (f": {' '.join(verdict.split())}" if verdict else "")
        case JobStatus.FAILED if changed.error is not None:
            return f"failed after {worked} of work: {changed.error.message} ({changed.error.code})"
        case JobStatus.FAILED:
            return f"failed after {worked} of work"
    return None
