"""What happens to a job, as Server-Sent Events or as a list with a cursor."""

from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from app.api_models.events import EventPage
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.views import view_event
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep

router = APIRouter(prefix="/jobs/{job_id}/events", tags=["events"], responses=PROBLEM_RESPONSES)


class _EventStream(EventSourceResponse):
    def __init__(self, service: Service, job_id: str, cursor: int) -> None:
        self._events = service.feeds.stream(job_id, cursor)
        super().__init__(self._events, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A reader that leaves is gone at once, not when its generator happens to be collected.
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)


@router.get(
    "",
    response_model=EventPage,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "A page of events, or the stream of them",
        }
    },
)
async def get_events(
    job_id: str,
    service: ServiceDep,
    accept: Annotated[str, Header()] = "application/json",
    last_event_id: Annotated[
        int | None, Header(ge=0, le=2**31 - 1, description="Sent by a client that reconnects: go on after this event.")
    ] = None,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="Only events numbered above this.")] = 0,
) -> Response:
    """Every status change, warning, epoch, checkpoint, resume and wait. With `Accept: text/event-stream` they come as
    they happen, `progress` between them, until the job ends (a pause is no end); otherwise one page as JSON."""
    cursor = after if last_event_id is None else last_event_id
    if "text/event-stream" not in accept:
        page = await run_in_threadpool(_read, service, job_id, cursor)
        return Response(page.model_dump_json(), media_type="application/json")
    # An unknown job, or a database that is away, is a problem while the answer's head is not sent yet.
    await service.job_answers.get(job_id)
    return _EventStream(service, job_id, cursor)


def _read(service: Service, job_id: str, cursor: int) -> EventPage:
    """Events after the cursor; the job's row is read first, so that `terminal` implies that the last event is seen."""
    with service.database.reading() as session:
        job = queries.get(session, job_id)
        events = [view_event(event) for event in queries.events_after(session, job_id, cursor)]
    last = events[-1].number if events else cursor
    terminal = JobStatus(job.status).terminal and last >= job.event_count
    return EventPage(events=events, next_cursor=last, terminal=terminal)
