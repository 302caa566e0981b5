"""Lists of jobs: filtered, sorted, in pages, and counted by status."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from app.database import database_now
from app.finetune.job_kinds import kind_of
from app.jobs import queries
from app.jobs.errors import CursorInvalid
from app.jobs.search_text import of_tag
from app.jobs.states import JobStatus
from app.jobs.tables import Job


class Sort(StrEnum):
    """Order of a list. `best`: highest TAR at FAR 1% after the training first. `longest`: longest time from the start
    to the end, or to now, first. Jobs without that figure come last; equal ones newest first."""

    NEWEST = "newest"
    BEST = "best"
    LONGEST = "longest"


@dataclass(frozen=True)
class JobFilter:
    """The jobs that a list has. An empty field excludes none."""

    kinds: Sequence[str] = ()
    """Public names. Empty: all kinds that this version knows."""
    statuses: Sequence[JobStatus] = ()
    tags: Sequence[str] = ()
    """A job has all of them."""
    text: str = ""
    """A part of the name, of a tag, of the dataset's name or of the id, in upper or lower case."""


EVERYTHING = JobFilter()


@dataclass(frozen=True)
class JobsFound:
    """A page of jobs. `next_cursor` is None on the last one."""

    jobs: Sequence[Job]
    next_cursor: str | None


def find_jobs(
    session: Session,
    wanted: JobFilter = EVERYTHING,
    *,
    sort: Sort = Sort.NEWEST,
    cursor: str | None = None,
    limit: int,
) -> JobsFound:
    """Return a page of the jobs that the session's caller may see. Raises CursorInvalid."""
    query = select(Job).where(*_conditions(session, wanted)).limit(limit + 1)
    match sort:
        case Sort.NEWEST:
            query = query.order_by(col(Job.id).desc())
            if cursor is not None:
                query = query.where(col(Job.id) < _id(cursor))
        case Sort.BEST | Sort.LONGEST:
            figure = _rate() if sort is Sort.BEST else _seconds()
            query = query.order_by(func.coalesce(figure, -1.0).desc(), col(Job.id).desc())
            # The figures of running jobs change between two pages: a position is as good as a value.
            query = query.offset(0 if cursor is None else _position(cursor))
    jobs = session.exec(query).all()
    if len(jobs) <= limit:
        return JobsFound(jobs, None)
    shown = jobs[:limit]
    at = shown[-1].id if sort is Sort.NEWEST else str(limit + (0 if cursor is None else _position(cursor)))
    return JobsFound(shown, at)


def count_jobs(session: Session, wanted: JobFilter) -> dict[JobStatus, int]:
    """Return the number of jobs in each status that the session's caller may see. `wanted.statuses` does not count."""
    conditions = _conditions(session, replace(wanted, statuses=()))
    counted = session.exec(select(Job.status, func.count()).where(*conditions).group_by(col(Job.status))).all()
    return dict.fromkeys(JobStatus, 0) | {JobStatus(status): number for status, number in counted}


def _conditions(session: Session, wanted: JobFilter) -> list[ColumnElement[bool]]:
    kinds = [kind_of(kind).stored for kind in wanted.kinds]
    conditions = [col(Job.kind).in_(kinds) if kinds else queries.is_of_known_kind()]
    if wanted.statuses:
        conditions.append(col(Job.status).in_(wanted.statuses))
    conditions += [col(Job.search_text).contains(of_tag(tag), autoescape=True) for tag in wanted.tags]
    if text := wanted.text.strip().casefold():
        found = [column.contains(text, autoescape=True) for column in (col(Job.search_text), col(Job.id))]
        conditions.append(or_(*found))
    return [*conditions, queries.is_visible(session)]


def _rate() -> ColumnElement[Any]:
    after: Any = col(Job.recognition_after)
    rate: ColumnElement[Any] = after["tar_at_far_1_percent"].as_float()
    return rate


def _seconds() -> ColumnElement[Any]:
    return func.coalesce(col(Job.finished_at), database_now()) - col(Job.started_at)


def _id(cursor: str) -> str:
    if not (len(cursor) == 24 and cursor.isalnum()):
        raise CursorInvalid(cursor)
    return cursor


def _position(cursor: str) -> int:
    if not (len(cursor) <= 9 and cursor.isascii() and cursor.isdigit()):
        raise CursorInvalid(cursor)
    return int(cursor)
