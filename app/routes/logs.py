"""The log of a job: its last lines, or a stream."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool

from app.access.callers import Caller
from app.api_models.logs import LogPage
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.job_log import MOST_LINES, last_lines, lines_after
from app.jobs.states import JobStatus
from app.jobs.views import view_log_line
from app.live.job_logs import follow_log
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep, reading_for
from app.routes.job_streams import JobStream, still_readable

router = APIRouter(prefix="/jobs/{job_id}/logs", tags=["logs"], responses=PROBLEM_RESPONSES)


@router.get(
    "",
    response_model=LogPage,
    responses={
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "Lines of the log, or a stream of events `log`, each with a line",
        }
    },
)
async def get_logs(
    job_id: str,
    service: ServiceDep,
    caller: CallerDep,
    lines: Annotated[
        int, Query(ge=1, le=MOST_LINES, description="Most lines: the newest, or the first after `after`.")
    ] = 200,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only lines numbered above this.")] = None,
    follow: Annotated[
        bool, Query(description="Stream the lines as they are written, until the job ends, like `text/event-stream`.")
    ] = False,
    accept: Annotated[str, Header()] = "application/json",
    last_event_id: Annotated[
        int | None,
        Header(ge=0, le=2**31 - 1, description="Sent by a client that reconnects: continue after this line."),
    ] = None,
) -> Response:
    """Return the log of the job: what its trainers logged, the events of its training, and how each attempt began and
    ended. The newest 2,000 lines are kept. `Accept: text/event-stream`, or `follow=true`, streams them until the job
    ends; a pause does not end it."""
    cursor = after if last_event_id is None else last_event_id
    page = await run_in_threadpool(_read, service, caller, job_id, cursor, lines)
    if not follow and "text/event-stream" not in accept:
        return Response(page.model_dump_json(), media_type="application/json")
    first = page.lines[0].number - 1 if page.lines else page.next_cursor
    start = first if cursor is None else cursor
    return JobStream(follow_log(service.database, service.stopping, job_id, start, still_readable(service, caller)))


def _read(service: Service, caller: Caller, job_id: str, cursor: int | None, most: int) -> LogPage:
    """Return the lines. The job's row is read first: if `terminal`, the page has the last line."""
    with reading_for(service, caller) as session:
        job = queries.get(session, job_id)
        if cursor is None:
            found, is_last = last_lines(session, job_id, most), True
        else:
            found = lines_after(session, job_id, cursor, most)
            is_last = len(found) < most
    last = found[-1].number if found else cursor or 0
    terminal = JobStatus(job.status).terminal and is_last
    return LogPage(lines=[view_log_line(line) for line in found], next_cursor=last, terminal=terminal)
