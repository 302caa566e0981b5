"""Jobs: submit, look at, list."""

from typing import Annotated

from fastapi import APIRouter, Query, Response, status
from pydantic import BaseModel, Field

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.inputs import check_inputs, find_inputs
from app.jobs import queries
from app.jobs.errors import CursorInvalid
from app.jobs.states import JobStatus
from app.jobs.views import JobPage, JobView, view_job
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ReadingSessionDep, ServiceDep
from app.routes.submitting import IdempotencyKey, Priority, answer_submission

router = APIRouter(prefix="/jobs", tags=["jobs"], responses=PROBLEM_RESPONSES)


class DryRun(BaseModel):
    """What a submission would do, without doing it."""

    config: FinetuneConfig = Field(description="As resolved: every field with its value.")
    warnings: list[JobWarning]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {
            "model": JobView | DryRun,
            "description": "A dry run; or the job that the same request with the same Idempotency-Key made before",
            "headers": {
                "Idempotency-Replayed": {"schema": {"type": "string"}, "description": "`true` for the latter."}
            },
        }
    },
)
def submit_job(
    config: FinetuneConfig,
    service: ServiceDep,
    response: Response,
    dry_run: Annotated[bool, Query(description="Check and resolve the config, queue nothing, answer 200.")] = False,
    priority: Priority = 0,
    idempotency_key: IdempotencyKey = None,
) -> JobView | DryRun:
    """Queue a fine-tuning. What can be checked is checked first: names, ranges, the images that
    training reads (EDGEFACE_CHECKED_IMAGES of them), the weights' tensors."""

    def check() -> list[JobWarning]:
        return check_inputs(find_inputs(config, service.settings), service.dataset_checks)

    if dry_run:
        response.status_code = status.HTTP_200_OK
        return DryRun(config=config, warnings=check())
    return answer_submission(service, response, config, check, priority, idempotency_key)


@router.get("")
def list_jobs(
    session: ReadingSessionDep,
    service: ServiceDep,
    status: Annotated[list[JobStatus] | None, Query(description="Only these; may be repeated.")] = None,
    cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobPage:
    """Jobs, newest first."""
    if cursor is not None and not (len(cursor) == 24 and cursor.isalnum()):
        raise CursorInvalid(cursor)
    jobs = queries.page(session, statuses=status or [], before=cursor, limit=limit + 1)
    shown = jobs[:limit]
    return JobPage(
        jobs=[view_job(session, job, service.settings.worker_seen_seconds) for job in shown],
        next_cursor=shown[-1].id if len(jobs) > limit else None,
    )


@router.get("/{job_id}", response_model=JobView)
async def get_job(job_id: str, service: ServiceDep) -> Response:
    """Where the job is: status, stage, epoch, progress, metrics, warnings, error, checkpoint, files, and the state
    that survives if it stops now."""
    return Response(await service.job_answers.get(job_id), media_type="application/json")
