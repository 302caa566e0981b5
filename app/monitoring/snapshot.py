"""The state of the jobs and the workers, read from the rows in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Integer, case, func
from sqlalchemy import cast as as_type
from sqlmodel import Session, col, select

from app.api_models.health import WorkerView
from app.database import database_now
from app.finetune.job_kinds import known_kind
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Dataset, EpochMetric, Job
from app.jobs.worker_views import view_workers

DURATION_SECONDS = (10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0)
"""Upper bounds of the histogram of job durations."""

OTHER_KIND = "other"
"""The label of kinds of a later version."""


@dataclass(frozen=True)
class JobsOfState:
    """All jobs of one kind in one state. `up_to` has how many of them worked at most DURATION_SECONDS[i]."""

    kind: str
    status: str
    count: int
    seconds_worked: float
    up_to: Sequence[int]


@dataclass(frozen=True)
class Snapshot:
    """`images_per_second` is by kind, of the last epoch of each job that runs."""

    jobs: Sequence[JobsOfState] = ()
    longest_wait_seconds: float = 0.0
    images_per_second: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    datasets_checked: int = 0
    datasets_unchecked: int = 0
    workers: Sequence[WorkerView] = ()

    @property
    def queued(self) -> int:
        return sum(each.count for each in self.jobs if each.status == JobStatus.QUEUED)


def read_snapshot(session: Session, seen_seconds: float) -> Snapshot:
    """Workers that have not reported for `seen_seconds` are left out."""
    datasets, checked = session.execute(select(func.count(), func.count(col(Dataset.checked_at)))).one()
    return Snapshot(
        jobs=_jobs(session),
        longest_wait_seconds=_longest_wait(session),
        images_per_second=_images_per_second(session),
        epochs=int(session.execute(select(func.count()).select_from(EpochMetric)).scalar_one()),
        datasets_checked=checked,
        datasets_unchecked=datasets - checked,
        workers=view_workers(session, seen_seconds),
    )


def _jobs(session: Session) -> list[JobsOfState]:
    worked = col(Job.seconds_worked)
    up_to = [func.sum(as_type(case((worked <= bound, 1), else_=0), Integer)) for bound in DURATION_SECONDS]
    query = select(Job.kind, Job.status, func.count(), func.sum(worked), *up_to)
    grouped = session.execute(query.group_by(col(Job.kind), col(Job.status))).all()
    return [
        JobsOfState(_kind(kind), status, count, float(seconds), [int(each) for each in counts])
        for kind, status, count, seconds, *counts in grouped
    ]


def _longest_wait(session: Session) -> float:
    waits = select(database_now() - func.min(Job.queued_at)).where(Job.status == JobStatus.QUEUED)
    return max(0.0, float(session.execute(waits).scalar_one() or 0.0))


def _images_per_second(session: Session) -> dict[str, float]:
    rates: dict[str, float] = {}
    for job in session.exec(select(Job).where(Job.status == JobStatus.RUNNING)):
        if (metric := queries.latest_metric(session, job)) is not None:
            kind = _kind(job.kind)
            rates[kind] = rates.get(kind, 0.0) + metric.images_per_second
    return rates


def _kind(stored: str) -> str:
    kind = known_kind(stored)
    return OTHER_KIND if kind is None else kind.name
