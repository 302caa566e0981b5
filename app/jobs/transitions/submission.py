"""Jobs are submitted, once for each idempotency key."""

import hashlib
import json
import secrets
import time
from collections.abc import Sequence

from sqlmodel import Session

from app.finetune.dataset import TEST_FOLDER, VAL_FOLDER, JobWarning
from app.finetune.deprecations import RENAMED_FIELDS
from app.jobs import queries
from app.jobs.configs import ADDED_LATER, JobConfig
from app.jobs.errors import IdempotencyKeyReused
from app.jobs.states import JobStatus
from app.jobs.tables import FINETUNING, Job, JobKind
from app.jobs.transitions.fence import append_event, clock


def new_job_id() -> str:
    """Sorts by time (milliseconds) and cannot be guessed from another."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def submit(
    session: Session,
    config: JobConfig,
    warnings: Sequence[JobWarning],
    *,
    priority: int = 0,
    idempotency_key: str | None = None,
    kind: JobKind = FINETUNING,
) -> Job:
    """A new job, queued. Ring the bell after the commit.

    Raises IntegrityError at the commit, or before, where another job has the key: see `find_repeated`.
    """
    now = clock(session)
    job = Job(
        id=new_job_id(),
        kind=kind,
        config=config.model_dump(mode="json"),
        warnings=[warning.model_dump() for warning in warnings],
        priority=priority,
        idempotency_key=idempotency_key,
        request_digest=None if idempotency_key is None else _digest(config, priority, kind),
        created_at=now,
        queued_at=now,
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, "status", {"status": JobStatus.QUEUED, "previous": None})
    for warning in warnings:
        append_event(session, job.id, "warning", warning.model_dump())
    session.refresh(job)
    return job


def find_repeated(
    session: Session, key: str, config: JobConfig, *, priority: int = 0, kind: JobKind = FINETUNING
) -> Job | None:
    """The job that the same request with this key made before. Raises IdempotencyKeyReused if it was another."""
    job = queries.by_idempotency_key(session, key)
    if job is not None and job.request_digest != _digest(config, priority, kind):
        raise IdempotencyKeyReused(key, job.id)
    return job


def _digest(config: JobConfig, priority: int, kind: JobKind) -> str:
    # A training's is that of before there were other kinds: its key may have come then.
    of_kind = [] if kind == FINETUNING else [kind]
    # Nor are there fields that came later, where they are not set.
    fields = type(config).model_fields
    later = {name for name in ADDED_LATER & fields.keys() if getattr(config, name) == fields[name].default}
    content = config.model_dump(mode="json", exclude=later)
    # Digests of earlier versions have the fields' former names.
    content.update({former: content.pop(name) for former, name in RENAMED_FIELDS.items() if name in content})
    # Whether a dataset has a test part, which an evaluation then takes, is no part of the request.
    if (dataset := content.get("dataset")) and content.get("eval_dir") == f"{dataset.rstrip('/')}/{TEST_FOLDER}":
        content["eval_dir"] = f"{dataset.rstrip('/')}/{VAL_FOLDER}"
    request = json.dumps([content, priority, *of_kind], sort_keys=True)
    return hashlib.sha256(request.encode()).hexdigest()
