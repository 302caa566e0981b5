"""Submits jobs, one for each idempotency key.

The same key with another request is refused. Two requests are the same if the person set the same fields, whatever the
defaults of the others are, or if they stand for the same config.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Sequence

from pydantic import ValidationError
from sqlmodel import Session

from app.access.acting import caller_of
from app.access.audit import note
from app.api_models.events import StatusChanged
from app.api_models.labels import NO_LABELS, Labels
from app.finetune.job_config import JobConfig
from app.finetune.job_dataset import JobDataset
from app.finetune.job_kinds import FINETUNING, Kind, kind_of
from app.finetune.job_warning import JobWarning
from app.jobs import queries
from app.jobs.errors import IdempotencyKeyReused, JobDeleted, TooManyQueuedJobs
from app.jobs.search_text import search_text
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions.fence import append_event, clock


def new_job_id() -> str:
    """Return an id that sorts by time (milliseconds) and cannot be guessed from another."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def submit(
    session: Session,
    config: JobConfig,
    warnings: Sequence[JobWarning],
    *,
    datasets: Sequence[JobDataset] = (),
    priority: int = 0,
    idempotency_key: str | None = None,
    kind: str = FINETUNING,
    labels: Labels = NO_LABELS,
) -> Job:
    """Add a queued job. Ring the bell after the commit.

    Raises IntegrityError at the commit, or before, where another job has the key: see `find_repeated`.
    """
    now = clock(session)
    content = config.model_dump(mode="json")
    job = Job(
        id=new_job_id(),
        kind=kind_of(kind).stored,
        owner=caller_of(session).name,
        name=labels.name,
        tags=labels.tags,
        notes=labels.notes,
        sweep=labels.sweep,
        search_text=search_text(labels.name, labels.tags, content),
        config=content,
        warnings=[warning.model_dump() for warning in warnings],
        datasets=[dataset.model_dump() for dataset in datasets],
        priority=priority,
        idempotency_key=idempotency_key,
        request_digest=None if idempotency_key is None else _digest(config, priority, kind_of(kind)),
        created_at=now,
        queued_at=now,
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, StatusChanged(status=JobStatus.QUEUED, previous=None))
    for warning in warnings:
        append_event(session, job.id, warning)
    note(session, "submit", f"/jobs/{job.id}", kind=kind, priority=priority)
    session.refresh(job)
    return job


def refuse_if_full(session: Session, most: int, *, jobs: int = 1) -> None:
    """Raise TooManyQueuedJobs if `jobs` further queued jobs of the session's caller make more than `most`. Requests at
    the same moment may add a few more."""
    if (queued := queries.count_queued(session, caller_of(session).name)) + jobs > most:
        raise TooManyQueuedJobs(queued, most)


def find_repeated(
    session: Session, key: str, config: JobConfig, *, priority: int = 0, kind: str = FINETUNING
) -> Job | None:
    """Return the job that the same request with this key made before. Raise IdempotencyKeyReused if it was another,
    JobDeleted if the job was deleted since."""
    job = queries.by_idempotency_key(session, key)
    if job is None and (deleted := queries.deleted_by_key(session, key)) is not None:
        raise JobDeleted(key, deleted.id)
    if job is None or job.request_digest == _digest(config, priority, kind_of(kind)):
        return job
    # Versions before 0.2.0 digested all fields, and fields may have got other names since: the row has the config.
    if (job.kind, job.priority) == (kind_of(kind).stored, priority) and _is_config_of(job, config):
        return job
    raise IdempotencyKeyReused(key, job.id)


def _is_config_of(job: Job, config: JobConfig) -> bool:
    try:
        return kind_of(job.kind).decode(job.config).as_requested() == config.as_requested()
    except ValidationError:
        return False


def _digest(config: JobConfig, priority: int, kind: Kind) -> str:
    """Of the fields that are not at their default: a field that a later version adds changes nothing."""
    content = config.as_requested().model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps([content, priority, kind.stored], sort_keys=True).encode()).hexdigest()
