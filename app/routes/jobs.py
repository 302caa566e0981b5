"""Jobs: submit, get, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response, status
from pydantic import AfterValidator, TypeAdapter, ValidationError

from app.access.audit import note
from app.api_models.dry_run import DryRun
from app.api_models.job import JobView
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import current_value
from app.finetune.job_kinds import DRY_RUN, FINETUNING, kind_of
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.deletion import delete_folder, delete_job
from app.jobs.views import view_job
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ChecksDep, ServiceDep, writing_for
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


@router.get("/{job_id}", response_model=JobView)
async def get_job(job_id: str, service: ServiceDep, caller: CallerDep) -> Response:
    """Return status, stage, epoch, progress, metrics, warnings, error, checkpoint and files of the job, and the state
    that it would resume from."""
    return Response(await service.job_answers.get(job_id, caller), media_type="application/json")


@router.delete("/{job_id}")
def delete(
    job_id: str,
    service: ServiceDep,
    caller: CallerDep,
    force: Annotated[
        bool, Query(description="Whether to delete a job that others need, or that has pinned checkpoints.")
    ] = False,
) -> JobView:
    """Delete a job that has ended, with its files, epochs and events, and return it as it was.

    409 names what needs it: jobs that named its weights, pinned checkpoints, a dataset that it made or checked last. A
    submission that is repeated with its Idempotency-Key is refused for 30 days.
    """
    with writing_for(service, caller) as session:
        caller.must_own(f"job {job_id}", queries.get(session, job_id).owner)
        view = view_job(session, queries.locked(session, job_id), service.settings.worker_seen_seconds)
        job = delete_job(session, job_id, force=force)
        note(session, "delete", f"/jobs/{job_id}", name=job.name, kind=view.kind, force=force)
    delete_folder(service.settings.artifacts_dir, job_id)
    return view
