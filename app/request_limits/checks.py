"""CheckPool: threads for slow work, apart from those that answer the other requests."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request

from app.finetune.interruption import Interrupted, interruptible
from app.request_limits.errors import ChecksBusy, ClientGone

_Result = TypeVar("_Result")

RETRY_AFTER_SECONDS = 5


class CheckPool:
    """Runs at most `at_once` pieces of work in threads of their own. At most `waiting` more wait for their turn.

    A disk that hangs or a dataset of a million files holds up other checks, and no other request.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once = at_once
        self._most_waiting = waiting
        self._turns = asyncio.Semaphore(at_once)
        # Threads are not shared with anything else: the semaphore alone decides how many run.
        self._threads = CapacityLimiter(at_once)
        self._accepted = 0

    @property
    def running(self) -> int:
        return min(self._accepted, self._at_once)

    @property
    def waiting(self) -> int:
        return self._accepted - self.running

    async def run(self, request: Request, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`, or raise its exception. The body of `request` has been read.

        Raises ChecksBusy if the queue is full. Where the client goes away, work that waits is dropped, work that runs
        ends at its next `check_interrupted`, and ClientGone is raised.
        """
        if self._accepted >= self._at_once + self._most_waiting:
            raise ChecksBusy(self.running, self.waiting, RETRY_AFTER_SECONDS)
        self._accepted += 1
        try:
            return await self._run_while_wanted(request, work)
        finally:
            self._accepted -= 1

    async def _run_while_wanted(self, request: Request, work: Callable[[], _Result]) -> _Result:
        begun, unwanted = asyncio.Event(), threading.Event()
        running = asyncio.create_task(self._run_in_turn(work, begun, unwanted))
        leaving = asyncio.create_task(_wait_until_gone(request))
        try:
            await asyncio.wait((running, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                unwanted.set()
                if not begun.is_set():
                    running.cancel()
                await asyncio.wait((running,))
                if running.cancelled():
                    raise ClientGone
            return running.result()
        except Interrupted:
            raise ClientGone from None
        finally:
            leaving.cancel()
            unwanted.set()
            if not begun.is_set():
                running.cancel()

    async def _run_in_turn(
        self, work: Callable[[], _Result], begun: asyncio.Event, unwanted: threading.Event
    ) -> _Result:
        async with self._turns:
            begun.set()

            def run() -> _Result:
                with interruptible(unwanted):
                    return work()

            return await run_sync(run, limiter=self._threads)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
