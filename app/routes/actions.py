"""Changes of a job: cancel, pause, resume, retry, labels, sharing."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from sqlmodel import Session

from app.access.audit import note
from app.access.callers import Caller
from app.api_models.job import JobView
from app.api_models.labels import JobChanges
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import wishes
from app.jobs.views import view_job
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep, change_job, reading_for

PAUSE_ANSWER_SECONDS = 5.0
"""How long the answer to a pause waits for the worker to save the state, to report it as `resume_point`."""

POLL_SECONDS = 0.1

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"], responses=PROBLEM_RESPONSES)


@router.post("/cancel")
def cancel_job(
    job_id: str,
    service: ServiceDep,
    caller: CallerDep,
    force: Annotated[
        bool,
        Query(
            description="Set the status to `cancelled` at once, for a job whose worker is gone. A running worker loses "
            "its claim and ends its trainer at its next heartbeat."
        ),
    ] = False,
) -> JobView:
    """Cancel the job; idempotent, and without effect on a job that has ended. The best checkpoint so far is kept. A
    running job is `cancelling` until its trainer has ended, which takes at most 2 seconds."""
    return change_job(
        service, caller, "cancel", job_id, lambda session: wishes.request_cancel(session, job_id, force=force)
    )


@router.post("/pause")
async def pause_job(job_id: str, service: ServiceDep, caller: CallerDep) -> JobView:
    """Save the job's state and stop it; idempotent. A queued job is `paused` at once. A running job is `pausing` while
    its worker saves the state; the answer waits up to 5 seconds for that. `resume_point` is the state that a resume
    loads."""
    job = await run_in_threadpool(
        change_job, service, caller, "pause", job_id, lambda session: wishes.request_pause(session, job_id)
    )
    loop = asyncio.get_running_loop()
    answer_by = loop.time() + PAUSE_ANSWER_SECONDS
    while job.status is JobStatus.PAUSING and loop.time() < answer_by and not service.stopping.is_set():
        await asyncio.sleep(POLL_SECONDS)
        job = await run_in_threadpool(_look, service, caller, job_id)
    return job


@router.post("/resume")
def resume_job(job_id: str, service: ServiceDep, caller: CallerDep) -> JobView:
    """Queue a paused job again, behind the others of its priority; idempotent. It resumes from `resume_point`."""
    job = change_job(service, caller, "resume", job_id, lambda session: wishes.resume(session, job_id))
    service.bell.ring()
    return job


@router.post("/retry")
def retry_job(
    job_id: str,
    service: ServiceDep,
    caller: CallerDep,
    from_: Annotated[
        Literal["state", "start"],
        Query(
            alias="from",
            description="`state`: resume from `resume_point`, or from the beginning without one. `start`: discard the "
            "epochs, the states and the checkpoints that are not pinned.",
        ),
    ] = "state",
) -> JobView:
    """Queue a failed or cancelled job again under the same id."""
    job = change_job(
        service, caller, "retry", job_id, lambda session: wishes.retry(session, job_id, from_start=from_ == "start")
    )
    service.bell.ring()
    return job


@router.patch("")
def update_job(job_id: str, changes: JobChanges, service: ServiceDep, caller: CallerDep) -> JobView:
    """Change the labels of the job: name, tags and notes; or share it with everybody who has the scope `read`, or end
    that. Fields that are left out stay. Only its owner and admins change it, at any time."""
    shares = "shared" in changes.model_fields_set
    labels = sorted(changes.model_fields_set - {"shared"})

    def change(session: Session) -> Job:
        if shares and labels:
            note(session, "label", f"/jobs/{job_id}", fields=labels)
        return wishes.change_labels(session, job_id, changes)

    action, details = ("share" if changes.shared else "unshare", {}) if shares else ("label", {"fields": labels})
    return change_job(service, caller, action, job_id, change, **details)


def _look(service: Service, caller: Caller, job_id: str) -> JobView:
    with reading_for(service, caller) as session:
        return view_job(session, queries.get(session, job_id), service.settings.worker_seen_seconds)
