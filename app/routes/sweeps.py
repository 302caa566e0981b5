"""Sweeps: submit, and the table of results."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response, status

from app.api_models.sweeps import SweepRequest, SweepView
from app.guard.gate import CallerDep
from app.jobs.sweeps import view_sweep
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ChecksDep, ReadingSessionDep, ServiceDep
from app.routes.submitting import IdempotencyKey, Priority, check_submission, refuse_priority
from app.sweep_submission import configs_of, submit_sweep

router = APIRouter(prefix="/sweeps", tags=["sweeps"], responses=PROBLEM_RESPONSES)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": SweepView, "description": "An earlier request with this Idempotency-Key queued it"}},
)
async def submit(
    request: SweepRequest,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    response: Response,
    priority: Priority = 0,
    idempotency_key: IdempotencyKey = None,
) -> SweepView:
    """Queue a fine-tuning for each combination of the values in `sweep`: all of them, or none.

    They are ordinary jobs with `sweep` in common, each named after its values. They count for the limit of queued jobs.
    """
    refuse_priority(caller, priority)

    def queue() -> tuple[SweepView, bool]:
        view, replayed = submit_sweep(
            service.database,
            request,
            configs_of(request),
            partial(check_submission, service, caller),
            priority=priority,
            idempotency_key=idempotency_key,
            most_queued=service.settings.max_queued_jobs,
            caller=caller,
        )
        service.bell.ring()
        return view, replayed

    view, replayed = await checks.run(queue)
    response.headers["Location"] = view.links["self"]
    if replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["Idempotency-Replayed"] = "true"
    return view


@router.get("/{name}")
def get_sweep(name: Annotated[str, Path(max_length=100)], session: ReadingSessionDep) -> SweepView:
    """Return one table of the jobs of a sweep that you may see: a row for each setting, with the mean and the spread
    over its seeds, the best on val first."""
    return view_sweep(session, name)
