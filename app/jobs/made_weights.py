"""Weights that jobs made, which a config names by `job:ID` wherever it names weights.

What a kind of job makes is said in `_MADE` alone, what weights a field takes in `_TAKES` alone. The files stay while a
job names them that has not ended, or that can go on from a saved state: retention asks `named_by_others`, and whoever
queues a job holds what it names.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from sqlalchemy import String, and_, cast, or_
from sqlmodel import Session, col, select

from app.finetune.checkpoint import WrittenFile
from app.finetune.config import OF_JOB
from app.jobs import queries
from app.jobs.errors import JobNotFound, WeightsJobNotFound, WeightsNotKept, WeightsNotOfKind, WeightsNotReady
from app.jobs.states import RETRYABLE, TERMINAL, JobStatus
from app.jobs.tables import DSR_TRAINING, FINETUNING, Artifact, Job

Weights = Literal["EdgeFace", "DSR"]

_TAKES: Mapping[str, Weights] = {"edgeface": "EdgeFace", "before": "EdgeFace", "dsr": "DSR"}
"""The fields of configs that name weights."""


def _best_backbone(_: Session, job: Job) -> WrittenFile | None:
    return None if job.checkpoint is None else job.checkpoint.backbone


def _best_dsr(_: Session, job: Job) -> WrittenFile | None:
    return None if job.checkpoint is None else job.checkpoint.full


_MADE: Mapping[tuple[str, Weights], Callable[[Session, Job], WrittenFile | None]] = {
    (FINETUNING, "EdgeFace"): _best_backbone,
    (DSR_TRAINING, "DSR"): _best_dsr,
}
"""The file that a job of this kind made, None where it is no longer kept."""


def job_named(name: object) -> str | None:
    """The id in `job:ID`; None for any other name."""
    return name.removeprefix(OF_JOB) if isinstance(name, str) and name.startswith(OF_JOB) else None


def find_made(session: Session, field: str, job_id: str) -> WrittenFile:
    """The weights that the job made, for this field of a config.

    Raises WeightsJobNotFound, WeightsNotOfKind, WeightsNotReady or WeightsNotKept.
    """
    try:
        job = queries.get(session, job_id)
    except JobNotFound:
        raise WeightsJobNotFound(field, job_id) from None
    weights = _TAKES[field]
    find = _MADE.get((job.kind, weights))
    if find is None:
        raise WeightsNotOfKind(field, job_id, job.kind, weights, [kind for kind, made in _MADE if made == weights])
    # One that failed or was cancelled may be retried, and makes others then.
    if job.status != JobStatus.SUCCEEDED:
        raise WeightsNotReady(field, job_id, JobStatus(job.status))
    file = find(session, job)
    if file is None:
        raise WeightsNotKept(field, job_id)
    return file


def hold_named(session: Session, config: Mapping[str, Any]) -> None:
    """For who queues a job with this config, in the same transaction: until it commits no clean-up deletes what the
    config names, and afterwards each sees the job. Raises as `find_made`."""
    named = {field: job_id for field in _TAKES if (job_id := job_named(config.get(field))) is not None}
    for field, job_id in sorted(named.items(), key=lambda item: item[1]):  # one order, so that no two wait in a circle
        try:
            queries.locked(session, job_id)
        except JobNotFound:
            raise WeightsJobNotFound(field, job_id) from None
        find_made(session, field, job_id)


def named_by_others(session: Session) -> set[str]:
    """The jobs whose weights are named by a job that has not ended, or that can go on from a saved state."""
    going = col(Job.status).not_in(TERMINAL)
    has_state = col(Job.id).in_(select(Artifact.job_id).where(Artifact.kind == "state"))
    can_go_on = and_(col(Job.status).in_(RETRYABLE), has_state)
    # Most name none: those are not even read.
    names_some = cast(col(Job.config), String).contains(f'"{OF_JOB}')
    configs = session.exec(select(Job.config).where(names_some, or_(going, can_go_on)))
    return {job_id for config in configs for field in _TAKES if (job_id := job_named(config.get(field))) is not None}
