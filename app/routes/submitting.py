"""Submissions of jobs of all kinds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response, status
from pydantic import AfterValidator

from app.api_models.job import JobView
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import Kind
from app.finetune.job_warning import JobWarning
from app.inputs.kinds import check_inputs, find_inputs
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep
from app.routes.former_names import announce_former_names
from app.submission import submit_once


def _check_key(key: str) -> str:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ValueError("an Idempotency-Key has 1 to 255 printable ASCII characters, such as a UUID")
    return key


Priority = Annotated[
    int,
    Query(
        ge=-100, le=100, description="Jobs of higher priority run first; among equals, the one that has waited longest."
    ),
]
IdempotencyKey = Annotated[
    str | None,
    AfterValidator(_check_key),
    Header(
        description="1 to 255 printable ASCII characters, such as a UUID; a new key for each job. A repeated request "
        "with the same key makes no second job. A different request with the same key is refused."
    ),
]


def submission_router(kind: Kind) -> APIRouter:
    """Return the route that takes the configs of one kind. The jobs have the routes of all jobs, at /jobs/{id}."""
    router = APIRouter(
        prefix=kind.path,
        tags=[kind.path.removeprefix("/")],
        responses=PROBLEM_RESPONSES,
        dependencies=[Depends(announce_former_names)],
    )

    def submit(
        config: JobConfig,
        service: ServiceDep,
        response: Response,
        priority: Priority = 0,
        idempotency_key: IdempotencyKey = None,
    ) -> JobView:
        return answer_submission(service, response, kind, config, priority, idempotency_key)

    # FastAPI takes the schema of the body from the annotation.
    submit.__annotations__["config"] = kind.config
    replayed = {"model": JobView, "description": "The job that an earlier request with this Idempotency-Key made"}
    router.add_api_route(
        "",
        submit,
        methods=["POST"],
        name=f"submit_{kind.name}",
        description=kind.description,
        status_code=status.HTTP_201_CREATED,
        responses={200: replayed},
    )
    return router


def check_submission(service: Service, config: JobConfig) -> list[JobWarning]:
    """Find and check what the config names. Raises the errors of the inputs, returns their warnings."""
    with service.database.reading() as session:
        inputs = find_inputs(config, service.settings, session)
    return check_inputs(config, inputs, service.dataset_checks)


def answer_submission(
    service: Service,
    response: Response,
    kind: Kind,
    config: JobConfig,
    priority: int,
    idempotency_key: str | None,
) -> JobView:
    """Queue the job and notify the workers. If the job exists already, `response` gets 200 and a header."""
    config = config.in_root(service.settings.datasets_dir)
    job, replayed = submit_once(
        service.database,
        config,
        lambda: check_submission(service, config),
        priority=priority,
        idempotency_key=idempotency_key,
        worker_seen_seconds=service.settings.worker_seen_seconds,
        kind=kind.name,
    )
    service.bell.ring()
    response.headers["Location"] = f"/jobs/{job.id}"
    if replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["Idempotency-Replayed"] = "true"
    return job
