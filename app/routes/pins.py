"""Pins: checkpoints that are kept."""

from fastapi import APIRouter

from app.api_models.job import JobView
from app.guard.gate import CallerDep
from app.jobs import pins
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep, change_job

router = APIRouter(prefix="/jobs/{job_id}/pin", tags=["checkpoint"], responses=PROBLEM_RESPONSES)


@router.post("")
def pin_checkpoint(job_id: str, service: ServiceDep, caller: CallerDep) -> JobView:
    """Keep both files of the current best checkpoint, even if a better one follows or old files are deleted.
    Idempotent. `files` lists it with its URL; `GET /jobs/{id}/checkpoint?epoch=N` downloads it."""
    return change_job(service, caller, "pin", job_id, lambda session: pins.pin_best(session, job_id))


@router.delete("")
def unpin_checkpoints(job_id: str, service: ServiceDep, caller: CallerDep) -> JobView:
    """Remove all pins of the job; idempotent. The next clean-up deletes all checkpoints but the best."""
    return change_job(service, caller, "unpin", job_id, lambda session: pins.unpin(session, job_id))
