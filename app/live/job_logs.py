"""The log of a job, followed while it is written."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from dataclasses import dataclass
from threading import Event

from anyio.to_thread import run_sync
from fastapi.sse import format_sse_event

from app.database import Database
from app.jobs import queries
from app.jobs.job_log import lines_after
from app.jobs.states import JobStatus
from app.jobs.views import view_log_line

POLL_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 15.0
LINES_AT_ONCE = 100


@dataclass(frozen=True)
class LogLook:
    """Some lines as Server-Sent Events, the number of the last one, and the job as it was when they were read."""

    frames: tuple[bytes, ...]
    last: int
    owner: str
    shared: bool
    terminal: bool
    """The job had ended, and `last` is its last line."""


MayFollow = Callable[[LogLook], Awaitable[bool]]
"""Whether a reader may still read the log."""


async def follow_log(
    database: Database, stopping: Event, job_id: str, cursor: int, may_follow: MayFollow
) -> AsyncGenerator[bytes, None]:
    """Yield each line numbered above `cursor` once and in order, until the job has ended or `may_follow` denies it."""
    yield format_sse_event(retry=1000)
    loop = asyncio.get_running_loop()
    sent_at = loop.time()
    version: Hashable = None
    while not stopping.is_set():
        newer = await run_sync(database.version.read)
        if newer != version or loop.time() - sent_at > KEEP_ALIVE_SECONDS / 2:
            look = await run_sync(_look, database, job_id, cursor)
            if not await may_follow(look):
                return
            yield b"".join(look.frames) or format_sse_event(comment="still here")
            cursor, sent_at = look.last, loop.time()
            if look.terminal:
                return
            if len(look.frames) == LINES_AT_ONCE:
                continue
            version = newer
        await asyncio.sleep(POLL_SECONDS)


def _look(database: Database, job_id: str, cursor: int) -> LogLook:
    """Raises JobNotFound."""
    with database.reading() as session:
        job = queries.get(session, job_id)
        lines = lines_after(session, job_id, cursor, LINES_AT_ONCE)
    frames = tuple(
        format_sse_event(data_str=view_log_line(line).model_dump_json(), event="log", id=str(line.number))
        for line in lines
    )
    last = lines[-1].number if lines else cursor
    ended = JobStatus(job.status).terminal and len(lines) < LINES_AT_ONCE
    return LogLook(frames, last, job.owner, job.shared, ended)
