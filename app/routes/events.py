"""What happens to a job, as Server-Sent Events or as a list with a cursor."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, format_sse_event

from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.views import EventPage, view_event
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep

POLL_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15.0

router = APIRouter(prefix="/jobs/{job_id}/events", tags=["events"], responses=PROBLEM_RESPONSES)


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
def get_events(
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
    page, _ = _read(service, job_id, cursor)
    if "text/event-stream" not in accept:
        return JSONResponse(page.model_dump(mode="json"))
    return EventSourceResponse(
        _stream(service, job_id, cursor), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    )


async def _stream(service: Service, job_id: str, cursor: int) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    sent_at = loop.time()
    yield format_sse_event(retry=1000)
    shown = ""
    while not service.stopping.is_set():
        page, progress = await run_in_threadpool(_read, service, job_id, cursor)
        for event in page.events:
            yield format_sse_event(data_str=event.model_dump_json(), event=event.kind, id=str(event.number))
        if progress != shown and not page.terminal:
            # Without an id: it is no event of the job, and a reconnect need not repeat it.
            yield format_sse_event(data_str=progress, event="progress")
        if page.events or progress != shown:
            sent_at, shown = loop.time(), progress
        if page.terminal and page.next_cursor == cursor:
            return
        cursor = page.next_cursor
        if loop.time() - sent_at > KEEP_ALIVE_SECONDS:
            yield format_sse_event(comment="still here")
            sent_at = loop.time()
        await asyncio.sleep(0 if page.terminal else POLL_SECONDS)


def _read(service: Service, job_id: str, cursor: int) -> tuple[EventPage, str]:
    """Events after the cursor, and the progress as JSON; the job's row is read first, so that `terminal` implies that
    the last event is seen."""
    with service.database.reading() as session:
        job = queries.get(session, job_id)
        events = [view_event(event) for event in queries.events_after(session, job_id, cursor)]
    page = EventPage(
        events=events,
        next_cursor=events[-1].number if events else cursor,
        terminal=JobStatus(job.status).terminal and (events[-1].number if events else cursor) >= job.event_count,
    )
    progress = job.model_dump_json(include={"status", "progress", "eta_seconds", "stage", "epoch", "step"})
    return page, progress
