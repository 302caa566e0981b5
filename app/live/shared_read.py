"""Shares one read between concurrent callers."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio.to_thread import run_sync

_Result = TypeVar("_Result")


class SharedRead(Generic[_Result]):
    """Calls `read`, which may block, in a thread, one call at a time. Callers during a call share the next one.

    So every result is from a call that began after its request, and contains everything committed before.
    """

    def __init__(self, read: Callable[[], _Result]) -> None:
        self._read = read
        self._waiting: list[asyncio.Future[_Result]] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self) -> _Result:
        """Return the result of a shared call. Raises its exception."""
        waiter: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_for_all())
        return await waiter

    async def _read_for_all(self) -> None:
        try:
            while self._waiting:
                asking, self._waiting = self._waiting, []
                try:
                    result = await run_sync(self._read)
                except Exception as error:  # every caller gets the exception
                    for waiter in asking:
                        if not waiter.done():
                            waiter.set_exception(error)
                else:
                    for waiter in asking:
                        if not waiter.done():  # it is where its request was cancelled
                            waiter.set_result(result)
        finally:
            self._reading = None
