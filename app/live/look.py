"""A snapshot of a job's rows: its events as Server-Sent Events, and its progress."""

from dataclasses import dataclass

from fastapi.sse import format_sse_event

from app.database import Database
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import JobEvent
from app.jobs.views import view_event

_PROGRESS = {"status", "progress", "eta_seconds", "phase", "phase_progress", "stage", "epoch", "step"}


@dataclass(frozen=True)
class Look:
    """`frames` are the events up to number `last` without gaps, and `progress` the progress, encoded for sending."""

    frames: tuple[bytes, ...] = ()
    last: int = 0
    progress: bytes = b""
    owner: str = ""
    shared: bool = False
    terminal: bool = False
    """The job has ended and `last` is its last event, unless a user retries it."""

    def after(self, number: int, most: int) -> tuple[bytes, ...] | None:
        """Return at most `most` frames of the events after `number`, or None if `frames` start later."""
        missed = self.last - number
        if missed <= 0:
            return ()
        if missed > len(self.frames):
            return None
        begin = len(self.frames) - missed
        return self.frames[begin : begin + most]


def look_again(database: Database, job_id: str, before: Look | None, most: int) -> Look:
    """Read the job again and append its new frames to those of `before`, of which the newest `most` are kept.

    Raises JobNotFound.
    """
    with database.reading() as session:
        # Read the job's row first, so that `terminal` implies that its last event is read.
        job = queries.get(session, job_id)
        seen = max(0 if before is None else before.last, job.event_count - most)
        events = queries.events_after(session, job_id, seen)
    kept = before.frames if before is not None and before.last == seen else ()
    last = events[-1].number if events else seen
    progress = job.model_dump_json(include=_PROGRESS)
    return Look(
        frames=(*kept, *map(_frame, events))[-most:],
        last=last,
        # Without an id: progress is not an event of the job, and a reconnect need not repeat it.
        progress=format_sse_event(data_str=progress, event="progress"),
        owner=job.owner,
        shared=job.shared,
        terminal=JobStatus(job.status).terminal and last >= job.event_count,
    )


def frames_after(database: Database, job_id: str, number: int, most: int) -> tuple[bytes, ...]:
    """Return at most `most` frames of the events after `number`, from the rows."""
    with database.reading() as session:
        return tuple(map(_frame, queries.events_after(session, job_id, number, limit=most)))


def _frame(event: JobEvent) -> bytes:
    return format_sse_event(data_str=view_event(event).to_json(), event=event.kind, id=str(event.number))
