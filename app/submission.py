"""Accepts jobs: checks the request, and creates one job for all repetitions of it with the same key."""

from collections.abc import Callable

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.access.acting import act_for
from app.access.callers import SERVICE, Caller
from app.api_models.job import JobView
from app.api_models.labels import NO_LABELS, Labels
from app.database import Database
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import FINETUNING, kind_of
from app.inputs.dataset_checks import CheckedInputs
from app.jobs.made_weights import hold_named
from app.jobs.tables import Job
from app.jobs.transitions import submission
from app.jobs.views import view_job

Check = Callable[[], CheckedInputs]
"""Checks the inputs that the config names. Raises their errors."""


def submit_once(
    database: Database,
    config: JobConfig,
    check: Check,
    *,
    priority: int,
    idempotency_key: str | None,
    worker_seen_seconds: float,
    most_queued: int,
    kind: str = FINETUNING,
    labels: Labels = NO_LABELS,
    caller: Caller = SERVICE,
) -> tuple[JobView, bool]:
    """Return the queued job, and whether it existed already. Ring the bell afterwards.

    Raises IdempotencyKeyReused, TooManyQueuedJobs if `most_queued` jobs of the caller are queued, the exceptions of
    `check`, and those of `hold_named` if the weights of a named job were deleted since the check.
    """

    def find_repeated(session: Session) -> Job | None:
        if idempotency_key is None:
            return None
        return submission.find_repeated(session, idempotency_key, config, priority=priority, kind=kind)

    # Before the check: a repeated request returns its job even if the dataset was deleted since.
    with database.reading() as session:
        act_for(session, caller)
        if (job := find_repeated(session)) is not None:
            return view_job(session, job, worker_seen_seconds), True
        submission.refuse_if_full(session, most_queued)
    checked = check()
    try:
        with database.writing() as session:
            act_for(session, caller)
            submission.refuse_if_full(session, most_queued)
            hold_named(session, kind_of(kind), config.model_dump(mode="json"))
            job = submission.submit(
                session,
                config,
                checked.warnings,
                datasets=checked.datasets,
                priority=priority,
                idempotency_key=idempotency_key,
                kind=kind,
                labels=labels,
            )
            return view_job(session, job, worker_seen_seconds), False
    except IntegrityError:
        # A concurrent request with the same key was first.
        with database.reading() as session:
            act_for(session, caller)
            if (job := find_repeated(session)) is None:
                raise
            return view_job(session, job, worker_seen_seconds), True
