"""Checkpoints that are kept because a person says so."""

from fastapi import APIRouter

from app.api_models.job import JobView
from app.jobs import pins
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep, change_job

router = APIRouter(prefix="/jobs/{job_id}/pin", tags=["checkpoint"], responses=PROBLEM_RESPONSES)


@router.post("")
def pin_checkpoint(job_id: str, service: ServiceDep) -> JobView:
    """Keep the best checkpoint of now, both its files, even when a better one replaces it or old files are cleaned;
    safe to repeat. `files` lists it with its address, `GET /jobs/{id}/checkpoint?epoch=N` downloads it."""
    return change_job(service, lambda session: pins.pin_best(session, job_id))


@router.delete("")
def unpin_checkpoints(job_id: str, service: ServiceDep) -> JobView:
    """Take every pin of the job away; safe to repeat. The best checkpoint stays all the same, the others are deleted
    with the next clean-up."""
    return change_job(service, lambda session: pins.unpin(session, job_id))
