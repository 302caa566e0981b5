"""Sweeps: their jobs, and one table of their results with the spread over seeds."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from app.access.acting import caller_of
from app.api_models.sweeps import Spread, SweepJob, SweepRow, SweepView
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import FINETUNING, KINDS
from app.finetune.sweeps import SEED, varied_fields
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.sweep_errors import SweepNotFound
from app.jobs.tables import Job


def has_sweep(session: Session, name: str) -> bool:
    """Return whether the session's caller owns a job of a sweep of this name."""
    owner = caller_of(session).name
    return session.exec(select(func.count()).where(Job.sweep == name, Job.owner == owner)).one() > 0


def view_sweep(session: Session, name: str) -> SweepView:
    """Return the table of the jobs of this sweep that the session's caller may see. Raises SweepNotFound."""
    query = select(Job).where(Job.sweep == name, Job.kind == KINDS[FINETUNING].stored, queries.is_visible(session))
    if not (jobs := session.exec(query.order_by(col(Job.id))).all()):
        raise SweepNotFound(name)
    configs = {job.id: KINDS[FINETUNING].decode(job.config) for job in jobs}
    fields = varied_fields(list(configs.values()))
    rows: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        rows[str([getattr(configs[job.id], field) for field in fields])].append(job)
    shown = [_row(each, configs, fields) for each in rows.values()]
    by_status = dict.fromkeys(JobStatus, 0)
    for job in jobs:
        by_status[JobStatus(job.status)] += 1
    return SweepView(
        name=name,
        total=len(jobs),
        by_status=by_status,
        fields=fields,
        rows=sorted(shown, key=lambda row: row.score.mean if row.score else float("-inf"), reverse=True),
        links={"self": f"/sweeps/{name}"},
    )


def _row(jobs: Sequence[Job], configs: dict[str, JobConfig], fields: Sequence[str]) -> SweepRow:
    shown = [
        SweepJob(
            id=job.id,
            name=job.name,
            status=JobStatus(job.status),
            seed=getattr(configs[job.id], SEED),
            score=None if job.checkpoint is None else job.checkpoint.score,
            tar_before=_tar(job.recognition_before),
            tar_after=_tar(job.recognition_after),
        )
        for job in jobs
    ]
    config = configs[jobs[0].id].model_dump(mode="json")
    return SweepRow(
        values={field: config[field] for field in fields},
        score=_spread(shown, lambda job: job.score),
        tar_before=_spread(shown, lambda job: job.tar_before),
        tar_after=_spread(shown, lambda job: job.tar_after),
        jobs=shown,
    )


def _tar(recognition: dict[str, Any] | None) -> float | None:
    return None if recognition is None else recognition.get("tar_at_far_1_percent")


def _spread(jobs: Sequence[SweepJob], figure: Callable[[SweepJob], float | None]) -> Spread | None:
    values = [value for job in jobs if (value := figure(job)) is not None]
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=statistics.fmean(values), sd=deviation, low=min(values), high=max(values), jobs=len(values))
