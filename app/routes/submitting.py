"""Submissions of jobs of all kinds."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response, status
from pydantic import AfterValidator

from app.access.callers import Caller
from app.access.errors import PriorityNeedsAdmin
from app.api_models.job import JobView
from app.api_models.labels import JobName, JobNotes, JobTags, Labels, SweepName
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import Kind
from app.finetune.job_warning import JobWarning
from app.guard.gate import CallerDep
from app.inputs.dataset_checks import CheckedInputs
from app.inputs.kinds import check_inputs, find_inputs
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Checks, ChecksDep, Service, ServiceDep, reading_for
from app.routes.former_names import announce_former_names
from app.submission import submit_once


def _check_key(key: str) -> str:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ValueError("an Idempotency-Key has 1 to 255 printable ASCII characters, such as a UUID")
    return key


Priority = Annotated[
    int,
    Query(
        ge=-100,
        le=100,
        description="Jobs of higher priority run first; above 0 for admins. Among equals, owners take turns.",
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


@dataclass(frozen=True)
class Submission:
    """The parameters of a request that submits a job, beside the config."""

    priority: int
    labels: Labels
    idempotency_key: str | None


async def get_submission(
    priority: Priority = 0,
    name: Annotated[JobName, Query(description="Name of the job. PATCH /jobs/{id} changes it at any time.")] = "",
    tag: Annotated[JobTags, Query(description="Tag of the job. May be repeated.")] = [],  # noqa: B006
    notes: Annotated[JobNotes, Query(description="Notes about the job. PATCH takes longer ones than a URL.")] = "",
    sweep: Annotated[
        SweepName | None, Query(description="Name of the sweep that the job joins: GET /sweeps/{name} shows it.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> Submission:
    return Submission(priority, Labels(name=name, tags=tag, notes=notes, sweep=sweep), idempotency_key)


SubmissionDep = Annotated[Submission, Depends(get_submission)]


def submission_router(kind: Kind) -> APIRouter:
    """Return the route that takes the configs of one kind. The jobs have the routes of all jobs, at /jobs/{id}."""
    router = APIRouter(
        prefix=kind.path,
        tags=[kind.path.removeprefix("/")],
        responses=PROBLEM_RESPONSES,
        dependencies=[Depends(announce_former_names)],
    )

    async def submit(
        config: JobConfig,
        service: ServiceDep,
        caller: CallerDep,
        checks: ChecksDep,
        response: Response,
        submission: SubmissionDep,
    ) -> JobView:
        return await answer_submission(service, caller, checks, response, kind, config, submission)

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


def refuse_priority(caller: Caller, priority: int) -> None:
    """Raise PriorityNeedsAdmin for one that passes other owners' jobs, unless the caller is an admin."""
    if priority > 0 and not caller.is_admin:
        raise PriorityNeedsAdmin(priority)


def check_submission(service: Service, caller: Caller, config: JobConfig) -> CheckedInputs:
    """Find and check what the config names. Raises the errors of the inputs."""
    with reading_for(service, caller) as session:
        inputs = find_inputs(config, service.settings, session)
    checked = check_inputs(config, inputs, service.datasets)
    shown = [JobWarning(code=each.code, message=service.paths.shown(each.message)) for each in checked.warnings]
    return replace(checked, warnings=shown)


async def answer_submission(
    service: Service,
    caller: Caller,
    checks: Checks,
    response: Response,
    kind: Kind,
    config: JobConfig,
    submission: Submission,
) -> JobView:
    """Queue the job and notify the workers. If the job exists already, `response` gets 200 and a header.

    Raises PriorityNeedsAdmin.
    """
    refuse_priority(caller, submission.priority)

    def submit() -> tuple[JobView, bool]:
        filled = config.in_root(service.datasets.roots.of_name(getattr(config, "dataset", None) or ""))
        job, replayed = submit_once(
            service.database,
            filled,
            lambda: check_submission(service, caller, filled),
            priority=submission.priority,
            idempotency_key=submission.idempotency_key,
            worker_seen_seconds=service.settings.worker_seen_seconds,
            most_queued=service.settings.max_queued_jobs,
            kind=kind.name,
            labels=submission.labels,
            caller=caller,
        )
        service.bell.ring()
        return job, replayed

    job, replayed = await checks.run(submit)
    response.headers["Location"] = f"/jobs/{job.id}"
    if replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["Idempotency-Replayed"] = "true"
    return job
