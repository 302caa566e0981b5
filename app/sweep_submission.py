"""Accepts sweeps: checks every config, then queues all of them in one transaction, or none."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.access.acting import act_for
from app.access.callers import Caller
from app.api_models.labels import LONGEST_NAME, Labels
from app.api_models.sweeps import SweepRequest, SweepView
from app.database import Database
from app.finetune.config import FinetuneConfig
from app.finetune.field_messages import FieldMessage, field_messages
from app.finetune.job_kinds import FINETUNING, kind_of
from app.finetune.sweeps import MOST_JOBS, combinations, in_words
from app.inputs.dataset_checks import CheckedInputs
from app.jobs import queries
from app.jobs.errors import IdempotencyKeyReused
from app.jobs.made_weights import hold_named
from app.jobs.sweep_errors import SweepExists, SweepInvalid, SweepTooLarge
from app.jobs.sweeps import has_sweep, view_sweep
from app.jobs.transitions import submission

MOST_FIELDS_NAMED = 20
"""Invalid values that an answer names."""


@dataclass(frozen=True)
class SweptJob:
    """A config of a sweep. `varied` are the values that it does not share with all others."""

    config: FinetuneConfig
    varied: dict[str, Any]


def configs_of(request: SweepRequest) -> list[SweptJob]:
    """Raises SweepTooLarge or SweepInvalid."""
    if (jobs := math.prod(map(len, request.sweep.values()))) > MOST_JOBS:
        raise SweepTooLarge(jobs, MOST_JOBS)
    if both := sorted(request.config.keys() & request.sweep.keys()):
        raise SweepInvalid([(f"config.{field}", "is in sweep too: leave it out of one of them") for field in both])
    swept, wrong = [], dict[str, str]()
    for varied in combinations(request.sweep):
        try:
            swept.append(SweptJob(FinetuneConfig.model_validate(request.config | varied), varied))
        except ValidationError as error:
            wrong |= dict(_fields(field_messages(error.errors(), FinetuneConfig), request, varied))
    if wrong:
        raise SweepInvalid(list(wrong.items())[:MOST_FIELDS_NAMED])
    return swept


def submit_sweep(
    database: Database,
    request: SweepRequest,
    swept: Sequence[SweptJob],
    check: Callable[[FinetuneConfig], CheckedInputs],
    *,
    priority: int,
    idempotency_key: str | None,
    most_queued: int,
    caller: Caller,
) -> tuple[SweepView, bool]:
    """Return the queued sweep, and whether an earlier request with the key queued it. Ring the bell afterwards.

    Raises SweepExists, TooManyQueuedJobs, IdempotencyKeyReused, the exceptions of `check`, and those of `hold_named`.
    """

    def key_of(number: int) -> str | None:
        return None if idempotency_key is None else f"{idempotency_key}#{number}"

    def is_repeated(session: Session) -> bool:
        if idempotency_key is None:
            return False
        keys = [f"{idempotency_key}#{number}" for number in range(1, len(swept) + 2)]
        found = [
            submission.find_repeated(session, key, each.config, priority=priority)
            for key, each in zip(keys, swept, strict=False)
        ]
        further = queries.by_idempotency_key(session, keys[-1])
        if further is None and None not in found:
            return True
        if (other := next((job for job in (*found, further) if job is not None), None)) is not None:
            raise IdempotencyKeyReused(idempotency_key, other.id)
        return False

    def refuse(session: Session) -> None:
        if has_sweep(session, request.name):
            raise SweepExists(request.name)
        submission.refuse_if_full(session, most_queued, jobs=len(swept))

    with database.reading() as session:
        act_for(session, caller)
        if is_repeated(session):
            return view_sweep(session, request.name), True
        refuse(session)
    checked = [check(each.config) for each in swept]
    try:
        with database.writing() as session:
            act_for(session, caller)
            refuse(session)
            for number, (each, inputs) in enumerate(zip(swept, checked, strict=True), start=1):
                hold_named(session, kind_of(FINETUNING), each.config.model_dump(mode="json"))
                submission.submit(
                    session,
                    each.config,
                    inputs.warnings,
                    datasets=inputs.datasets,
                    priority=priority,
                    idempotency_key=key_of(number),
                    labels=Labels(name=in_words(each.varied)[:LONGEST_NAME], sweep=request.name),
                )
            return view_sweep(session, request.name), False
    except (IntegrityError, SweepExists):
        # A concurrent request with the same key may have been first.
        with database.reading() as session:
            act_for(session, caller)
            if not is_repeated(session):
                raise
            return view_sweep(session, request.name), True


def _fields(messages: list[FieldMessage], request: SweepRequest, varied: dict[str, Any]) -> Iterator[FieldMessage]:
    """Name each field as the request has it: `sweep.seed.2` is the third value of the seed."""
    for path, message in messages:
        field = path.partition(".")[0]
        if field in varied:
            yield f"sweep.{field}.{request.sweep[field].index(varied[field])}", message
        else:
            yield path if path == "config" else f"config.{path}", message
