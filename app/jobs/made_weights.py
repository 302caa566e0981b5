"""Weights that jobs made, which a config names by `job:ID` wherever it names weights.

app/finetune/job_kinds.py has the fields that name weights and the kinds of jobs that make them. The files are kept
while a job names them that has not ended, or that can resume from a saved state: retention asks `named_by_others`, and
the transaction that queues a job holds what the job names.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import String, and_, cast, or_
from sqlmodel import Session, col, select

from app.finetune.checkpoint import WrittenFile
from app.finetune.config import OF_JOB
from app.finetune.job_kinds import Kind, known_kind, makers_of
from app.finetune.state_dicts import Weights
from app.jobs import queries
from app.jobs.errors import JobNotFound, WeightsJobNotFound, WeightsNotKept, WeightsNotOfKind, WeightsNotReady
from app.jobs.states import RETRYABLE, TERMINAL, JobStatus
from app.jobs.tables import Artifact, Job


def job_named(name: object) -> str | None:
    """Return the id in `job:ID`, None for any other name."""
    return name.removeprefix(OF_JOB) if isinstance(name, str) and name.startswith(OF_JOB) else None


def find_made(session: Session, field: str, weights: Weights, job_id: str) -> WrittenFile:
    """Return the weights of this family that the job made. `field` is the field of the config that names the job.

    Raises WeightsJobNotFound, WeightsNotOfKind, WeightsNotReady or WeightsNotKept.
    """
    try:
        job = queries.get(session, job_id)
    except JobNotFound:
        raise WeightsJobNotFound(field, job_id, makers_of(weights)) from None
    kind = known_kind(job.kind)
    if kind is None or weights not in kind.makes:
        raise WeightsNotOfKind(field, job_id, job.kind if kind is None else kind.name, weights, makers_of(weights))
    # One that failed or was cancelled may be retried, and makes others then.
    if job.status != JobStatus.SUCCEEDED:
        raise WeightsNotReady(field, job_id, JobStatus(job.status))
    if job.checkpoint is None:
        raise WeightsNotKept(field, job_id)
    return job.checkpoint.by_format[kind.makes[weights]]


def hold_named(session: Session, kind: Kind, config: Mapping[str, Any]) -> None:
    """Lock the jobs whose weights the config names, in the transaction that queues a job with this config.

    Until the transaction commits no clean-up deletes those weights; afterwards every clean-up sees the job. Raises as
    `find_made`.
    """
    named = {field: job_id for field in kind.weights if (job_id := job_named(config.get(field))) is not None}
    for field, job_id in sorted(named.items(), key=lambda item: item[1]):  # one order, so that no two wait in a circle
        weights = kind.weights[field]
        try:
            queries.locked(session, job_id)
        except JobNotFound:
            raise WeightsJobNotFound(field, job_id, makers_of(weights)) from None
        find_made(session, field, weights, job_id)


def named_by_others(session: Session) -> set[str]:
    """Return the jobs whose weights are named by a job that has not ended, or that can resume from a saved state."""
    going = col(Job.status).not_in(TERMINAL)
    has_state = col(Job.id).in_(select(Artifact.job_id).where(Artifact.kind == "state"))
    can_go_on = and_(col(Job.status).in_(RETRYABLE), has_state)
    # Most name none: those are not even read.
    names_some = cast(col(Job.config), String).contains(f'"{OF_JOB}')
    configs = session.exec(select(Job.config).where(names_some, or_(going, can_go_on)))
    # Also of kinds of later versions, whose fields this one does not know.
    return {job_id for config in configs for name in config.values() if (job_id := job_named(name)) is not None}
