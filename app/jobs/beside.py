"""The rows that the view of a job needs beside its own, read for many jobs at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from app.jobs.tables import Artifact, Attempt, EpochMetric, Job


@dataclass(frozen=True)
class RowsBeside:
    """Of one job: the last epoch, the best, the files with the oldest first, and the newest attempt."""

    latest: EpochMetric | None
    best: EpochMetric | None
    files: list[Artifact]
    newest: Attempt | None


def rows_beside(session: Session, jobs: Sequence[Job]) -> list[RowsBeside]:
    """Return those of each job, by four queries however many jobs there are."""
    ids = [job.id for job in jobs]
    latest, best = _last_epochs(session, ids), _last_epochs(session, ids, col(EpochMetric.best).is_(True))
    files = defaultdict(list)
    of_jobs = select(Artifact).where(col(Artifact.job_id).in_(ids))
    for file in session.exec(of_jobs.order_by(col(Artifact.sequence), col(Artifact.key))):
        files[file.job_id].append(file)
    is_newest = and_(col(Attempt.job_id) == col(Job.id), col(Attempt.number) == col(Job.attempt))
    newest = session.exec(select(Attempt).join(Job, is_newest).where(col(Attempt.job_id).in_(ids)))
    attempts = {attempt.job_id: attempt for attempt in newest}
    return [RowsBeside(latest.get(each), best.get(each), files[each], attempts.get(each)) for each in ids]


def _last_epochs(session: Session, ids: Sequence[str], *conditions: ColumnElement[bool]) -> dict[str, EpochMetric]:
    order = (col(EpochMetric.stage).desc(), col(EpochMetric.epoch).desc())
    place = func.row_number().over(partition_by=col(EpochMetric.job_id), order_by=order).label("place")
    numbered = select_columns(EpochMetric, place).where(col(EpochMetric.job_id).in_(ids), *conditions).subquery()
    found = session.execute(select_columns(aliased(EpochMetric, numbered)).where(numbered.c.place == 1))
    return {metric.job_id: metric for metric in found.scalars()}
