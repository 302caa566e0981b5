"""The log of a job: what its trainers log, the events of its training, and how its attempts begin and end.

The lines are rows, written in the transaction of what they report, so that they are kept and deleted with the job.
"""

from sqlmodel import Session, col, delete, func, select

from app.database import database_now
from app.jobs.tables import JobLogLine

MOST_LINES = 2000
"""Lines of a job that are kept: the newest."""

LONGEST_LINE = 4000
"""Characters. What is longer loses its middle."""

_DELETED_AT_ONCE = 100
_OMITTED = " [{} characters left out] "


def add_line(session: Session, job_id: str, attempt: int, level: str, text: str) -> None:
    """Add a line. The caller has locked the job's row, so that the numbers have no gaps and no reader skips one."""
    newest = session.execute(select(func.max(JobLogLine.number)).where(JobLogLine.job_id == job_id)).scalar_one()
    number = (newest or 0) + 1
    now = float(session.execute(select(database_now())).scalar_one())
    session.add(JobLogLine(job_id=job_id, number=number, attempt=attempt, level=level, text=_cut(text), created_at=now))
    session.flush()
    if number > MOST_LINES and number % _DELETED_AT_ONCE == 0:
        old = (col(JobLogLine.job_id) == job_id, col(JobLogLine.number) <= number - MOST_LINES)
        session.execute(delete(JobLogLine).where(*old).execution_options(synchronize_session=False))


def lines_after(session: Session, job_id: str, number: int, limit: int) -> list[JobLogLine]:
    """Return at most `limit` lines numbered above `number`, oldest first."""
    query = select(JobLogLine).where(JobLogLine.job_id == job_id, JobLogLine.number > number)
    return list(session.exec(query.order_by(col(JobLogLine.number)).limit(limit)))


def last_lines(session: Session, job_id: str, count: int) -> list[JobLogLine]:
    """Return the newest lines, oldest first."""
    query = select(JobLogLine).where(JobLogLine.job_id == job_id).order_by(col(JobLogLine.number).desc()).limit(count)
    return list(session.exec(query))[::-1]


def _cut(text: str) -> str:
    text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if len(text) <= LONGEST_LINE:
        return text
    half = LONGEST_LINE // 2
    return text[:half] + _OMITTED.format(len(text) - 2 * half) + text[-half:]
