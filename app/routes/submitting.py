"""What all submissions have in common, whatever kind of job they make."""

from typing import Annotated

from fastapi import Header, Query, Response, status
from pydantic import AfterValidator

from app.api_models.job import JobView
from app.jobs.configs import JobConfig
from app.jobs.tables import JobKind
from app.routes.dependencies import Service
from app.submission import Check, submit_once


def _check_key(key: str) -> str:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ValueError("an Idempotency-Key has 1 to 255 printable ASCII characters, such as a UUID")
    return key


Priority = Annotated[
    int, Query(ge=-100, le=100, description="Higher is run first; among equals the one that has waited longest.")
]
IdempotencyKey = Annotated[
    str | None,
    AfterValidator(_check_key),
    Header(
        description="1 to 255 printable ASCII characters, new for every job. The same request sent again with the "
        "same key makes no second job, so it is safe to repeat; another request with it is refused."
    ),
]


def answer_submission(
    service: Service,
    response: Response,
    config: JobConfig,
    check: Check,
    priority: int,
    idempotency_key: str | None,
    kind: JobKind,
) -> JobView:
    """Queue the job and ring the bell; `response` gets 200 and a header where the job had been made before."""
    job, replayed = submit_once(
        service.database,
        config,
        check,
        priority=priority,
        idempotency_key=idempotency_key,
        worker_seen_seconds=service.settings.worker_seen_seconds,
        kind=kind,
    )
    service.bell.ring()
    response.headers["Location"] = f"/jobs/{job.id}"
    if replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["Idempotency-Replayed"] = "true"
    return job
