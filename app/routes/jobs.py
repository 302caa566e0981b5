"""Jobs: submit, get, list."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response, status
from pydantic import AfterValidator, TypeAdapter, ValidationError

from app.api_models.dry_run import DryRun
from app.api_models.job import JobPage, JobView
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import current_value
from app.finetune.job_kinds import DRY_RUN, FINETUNING, JobKind, kind_of
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.errors import CursorInvalid
from app.jobs.states import JobStatus
from app.jobs.views import view_jobs
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ChecksDep, ReadingSessionDep, ServiceDep
from app.routes.former_names import announce_former_names
from app.routes.submitting import SubmissionDep, answer_submission, check_submission

_BOOL = TypeAdapter(bool)

router = APIRouter(
    prefix="/jobs", tags=["jobs"], responses=PROBLEM_RESPONSES, dependencies=[Depends(announce_former_names)]
)


def _check_dry_run(dry_run: str) -> str:
    if current_value("dry_run", dry_run) == "estimate":
        return "estimate"
    try:
        return "true" if _BOOL.validate_python(dry_run) else "false"
    except ValidationError:
        raise ValueError(f"{dry_run!r} is neither true, false nor estimate") from None


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        202: {
            "model": JobView,
            "description": "The dry run (`dry_run=estimate`) waits for a worker; GET its Location until `terminal`",
        },
        200: {
            "model": JobView | DryRun,
            "description": "A dry run, or the job that an earlier request with this Idempotency-Key made",
            "headers": {
                "Idempotency-Replayed": {"schema": {"type": "string"}, "description": "`true` for the latter."}
            },
        },
    },
)
async def submit_job(
    config: FinetuneConfig,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    response: Response,
    submission: SubmissionDep,
    dry_run: Annotated[
        str,
        AfterValidator(_check_dry_run),
        Query(
            json_schema_extra={"enum": ["false", "true", "estimate"]},
            description="`true`: validate the config, queue nothing, answer 200. `estimate`: a worker runs some steps "
            "of each stage when the dry run is next in the queue; `estimate` of the job in Location then has the time, "
            "memory and disk that the training would need. A dry run does not search for near-duplicates or for "
            "people under two names; the job itself does.",
        ),
    ] = "false",
) -> JobView | DryRun:
    """Queue a fine-tuning.

    The request is refused if a name, a value or a weights file is invalid, or if the last check of the dataset found
    images that the job cannot use. It opens no image: the job itself checks those that were not checked before.
    """
    if dry_run == "true":
        response.status_code = status.HTTP_200_OK
        checked = await checks.run(lambda: check_submission(service, caller, config))
        return DryRun(config=config, warnings=list(checked.warnings))
    if dry_run == "estimate":
        response.status_code = status.HTTP_202_ACCEPTED
        response.headers["Retry-After"] = "1"
    kind = kind_of(DRY_RUN if dry_run == "estimate" else FINETUNING)
    return await answer_submission(service, caller, checks, response, kind, config, submission)


@router.get("", response_model=JobPage)
def list_jobs(
    session: ReadingSessionDep,
    service: ServiceDep,
    announced: Response,
    status: Annotated[list[JobStatus] | None, Query(description="Only jobs of this status. May be repeated.")] = None,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    kind: Annotated[
        JobKind, Query(description="Only jobs of this kind. `dry_run`: the jobs that `dry_run=estimate` made.")
    ] = FINETUNING,
) -> Response:
    """List jobs, newest first."""
    if cursor is not None and not (len(cursor) == 24 and cursor.isalnum()):
        raise CursorInvalid(cursor)
    jobs = queries.page(session, statuses=status or [], before=cursor, limit=limit + 1, kind=kind)
    shown = jobs[:limit]
    page = JobPage(
        jobs=view_jobs(session, shown, service.settings.worker_seen_seconds),
        next_cursor=shown[-1].id if len(jobs) > limit else None,
    )
    # Here, in a thread: FastAPI would encode it on the event loop, and adds the headers of dependencies only then.
    return Response(page.model_dump_json(by_alias=True), media_type="application/json", headers=dict(announced.headers))


@router.get("/{job_id}", response_model=JobView)
async def get_job(job_id: str, service: ServiceDep, caller: CallerDep) -> Response:
    """Return status, stage, epoch, progress, metrics, warnings, error, checkpoint and files of the job, and the state
    that it would resume from."""
    return Response(await service.job_answers.get(job_id, caller), media_type="application/json")
