"""Streams of a job by Server-Sent Events: its events, and its log."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from fastapi import Response
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from app.access.callers import Caller
from app.routes.dependencies import Service
from app.routes.head_requests import is_head


class _Owned(Protocol):
    """A job as a stream last read it."""

    @property
    def owner(self) -> str: ...

    @property
    def shared(self) -> bool: ...


class JobStream(EventSourceResponse):
    """Sends `frames`, each an encoded message. HEAD is answered by the headers alone."""

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        self._frames = frames
        super().__init__(frames, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The source forgets a reader when it disconnects, not when its generator is collected.
        async with aclosing(self._frames):
            if is_head(scope):
                await Response(headers=self.headers)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


def still_readable(service: Service, caller: Caller) -> Callable[[_Owned], Awaitable[bool]]:
    """Return a function that says whether the caller may go on reading the job."""

    async def may_read(job: _Owned) -> bool:
        return caller.may_see(job.owner, job.shared) and await service.authentication.is_current(caller)

    return may_read
