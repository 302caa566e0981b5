"""One watcher per job for all readers of its events (docs/decisions/0008-one-watcher-for-all-readers-of-a-job.md)."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable, Iterator
from threading import Event

from anyio.to_thread import run_sync
from fastapi.sse import format_sse_event

from app.database import Database
from app.live.look import Look, frames_after, look_again
from app.live.shared_read import SharedRead

POLL_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15.0

FRAMES_KEPT = 1000
"""Newest events of a watched job kept in memory. A reader that is further behind reads the rows."""

FRAMES_AT_ONCE = 100
"""Most events written to a reader's connection before it has taken the previous ones."""

PROGRESS_FRAMES_PER_SECOND = 500
"""Most progress messages per second to all readers together; up to a hundred readers it delays nothing. Each message
costs CPU time that the training may need. Events are never delayed."""

READERS_AT_ONCE = 50
"""Readers, about, that are woken before the event loop answers other requests."""

_RECONNECT_AFTER = format_sse_event(retry=1000)
_STILL_HERE = format_sse_event(comment="still here")

_log = logging.getLogger(__name__)


MayRead = Callable[[Look], Awaitable[bool]]
"""Whether a reader may still read the job."""


async def _everybody(_: Look) -> bool:
    return True


class Feeds:
    """Feeds of the jobs whose events are being read. Setting `stopping` ends all streams."""

    def __init__(self, database: Database, stopping: Event) -> None:
        self._database = database
        self._stopping = stopping
        self._feeds: dict[str, _Feed] = {}

    @property
    def watched(self) -> Collection[str]:
        """Ids of the watched jobs."""
        return self._feeds.keys()

    @property
    def readers(self) -> int:
        """Number of open streams."""
        return sum(feed.readers for feed in list(self._feeds.values()))

    async def stream(self, job_id: str, cursor: int, may_read: MayRead = _everybody) -> AsyncGenerator[bytes, None]:
        """Yield every event numbered above `cursor` once and in order, and the progress between them, until the job has
        ended or `may_read` denies it. Each reader has its own pace, without a queue. Raises JobNotFound."""
        yield _RECONNECT_AFTER
        with self._joined(job_id) as feed:
            # Read now: the feed's last state may be older than a retry that was just answered.
            look = await feed.refresh()
            loop = asyncio.get_running_loop()
            shown, sent_at = b"", loop.time()
            while not self._stopping.is_set() and await may_read(look):
                frames = look.after(cursor, FRAMES_AT_ONCE)
                if frames is None:
                    frames = await run_sync(frames_after, self._database, job_id, cursor, FRAMES_AT_ONCE)
                cursor += len(frames)
                behind = cursor < look.last
                if not behind and not look.terminal and look.progress != shown:
                    frames = (*frames, look.progress)
                    shown = look.progress
                if frames:
                    yield b"".join(frames)
                    sent_at = loop.time()
                elif look.terminal:
                    return
                elif loop.time() - sent_at > KEEP_ALIVE_SECONDS / 2:  # it was woken for nothing else
                    yield _STILL_HERE
                    sent_at = loop.time()
                look = feed.look if behind or look.terminal else await feed.next(look)

    @contextlib.contextmanager
    def _joined(self, job_id: str) -> Iterator["_Feed"]:
        feed = self._feeds.get(job_id)
        if feed is None:
            feed = self._feeds[job_id] = _Feed(self._database, job_id, self._stopping)
        feed.readers += 1
        try:
            yield feed
        finally:
            feed.readers -= 1
            if not feed.readers:
                del self._feeds[job_id]
                feed.close()


class _Feed:
    """State shared by all readers of a job. Lives on one event loop while it has readers."""

    def __init__(self, database: Database, job_id: str, stopping: Event) -> None:
        self.readers = 0
        self.look = Look()
        self._database = database
        self._job_id = job_id
        self._stopping = stopping
        self._version: Hashable = None
        self._shared = SharedRead(self._look_at_rows)
        self._bells = [asyncio.Event()]
        self._watcher = asyncio.create_task(self._watch())

    def close(self) -> None:
        self._watcher.cancel()

    async def refresh(self) -> Look:
        """Read the rows now. Raises JobNotFound."""
        return await self._shared.get()

    async def next(self, seen: Look) -> Look:
        """Wait for a state after `seen`. Return `seen` itself after KEEP_ALIVE_SECONDS, or when the service stops."""
        if self.look is seen and not self._stopping.is_set():
            await random.choice(self._bells).wait()
        return self.look

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        rung, rung_at, failing = self.look, loop.time(), False
        while not self._stopping.is_set():
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
                failing = False
            except Exception:  # whatever it was: the readers wait until it is over, as long as they like
                if not failing:
                    _log.exception("the events of job %s cannot be read; retrying", self._job_id)
                failing = True
            silent = loop.time() - rung_at
            if self._is_due(rung, silent) or silent > KEEP_ALIVE_SECONDS:
                rung, rung_at = self.look, loop.time()
                await self._ring()
        await self._ring()

    def _is_due(self, rung: Look, silent: float) -> bool:
        """Return whether there are new events, or newer progress that is due."""
        if (self.look.last, self.look.terminal) != (rung.last, rung.terminal):
            return True
        return self.look.progress != rung.progress and silent >= self.readers / PROGRESS_FRAMES_PER_SECOND

    async def _ring(self) -> None:
        """Wake all waiting readers, READERS_AT_ONCE at a time. Other requests are answered between them."""
        bells, self._bells = self._bells, [asyncio.Event() for _ in range(1 + self.readers // READERS_AT_ONCE)]
        for bell in bells:
            bell.set()
            await asyncio.sleep(0)

    def _look_at_rows(self) -> Look:
        version = self._database.version.read()
        if version != self._version:
            look = look_again(self._database, self._job_id, None if self._version is None else self.look, FRAMES_KEPT)
            if look != self.look:  # other jobs' commits wake nobody
                self.look = look
            self._version = version
        return self.look
