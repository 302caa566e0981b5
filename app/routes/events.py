"""Events of a job, as Server-Sent Events or as a page with a cursor."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool

from app.access.callers import Caller
from app.api_models.events import EventPage
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.views import view_event
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep, reading_for
from app.routes.job_streams import JobStream, still_readable

router = APIRouter(prefix="/jobs/{job_id}/events", tags=["events"], responses=PROBLEM_RESPONSES)


@router.get(
    "",
    response_model=EventPage,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "A page of events, or an event stream",
        }
    },
)
async def get_events(
    job_id: str,
    service: ServiceDep,
    caller: CallerDep,
    accept: Annotated[str, Header()] = "application/json",
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=2**31 - 1, description="Sent by a client that reconnects: continue after this event."),
    ] = None,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only events numbered above this.")] = 0,
) -> Response:
    """Return status changes, warnings, epochs, checkpoints, resumes and waits. `Accept: text/event-stream` streams
    them, with `progress` between them, until the job ends; a pause does not end it. Otherwise the answer is a page."""
    cursor = after if last_event_id is None else last_event_id
    if "text/event-stream" not in accept:
        page = await run_in_threadpool(_read, service, caller, job_id, cursor)
        return Response(page.to_json(), media_type="application/json")
    # Raises for an unknown job or an unavailable database before the answer begins.
    await service.job_answers.get(job_id, caller)
    return JobStream(service.feeds.stream(job_id, cursor, still_readable(service, caller)))


def _read(service: Service, caller: Caller, job_id: str, cursor: int) -> EventPage:
    """Return the events after the cursor. The job's row is read first: if `terminal`, the page has the last event."""
    with reading_for(service, caller) as session:
        job = queries.get(session, job_id)
        events = [view_event(event) for event in queries.events_after(session, job_id, cursor)]
    last = events[-1].number if events else cursor
    terminal = JobStatus(job.status).terminal and last >= job.event_count
    return EventPage(events=events, next_cursor=last, terminal=terminal)
