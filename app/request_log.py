"""One line in the log for each request, and the id that its lines and its problem details have."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = "X-Request-ID"
_NOTES = "edgeface.request"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_PATH = 200
OFTEN_ASKED = ("/", "/health/live", "/health/ready", "/metrics")
"""By machines and open pages, every few seconds: logged only when they fail."""

_log = logging.getLogger(__name__)


@dataclass
class RequestNotes:
    """What the answer adds to a request: `problem` is the code of its problem details, `streamed` whether it lasts."""

    id: str
    problem: str | None = None
    streamed: bool = False


@dataclass(frozen=True)
class AnsweredRequest:
    """`route` is the template, such as /jobs/{job_id}; None if no route has the path."""

    method: str
    route: str | None
    status: int
    seconds: float
    notes: RequestNotes


class RequestLog:
    """Middleware. A plain X-Request-ID of the request is kept, any other replaced. `observe` sees each request and its
    scope when its answer has ended."""

    def __init__(self, app: ASGIApp, observe: Callable[[AnsweredRequest, Scope], None]) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = asked if _PLAIN.fullmatch(asked) else secrets.token_hex(8)
        notes = scope[_NOTES] = RequestNotes(request_id)
        # Never unbound: the server's own line about an exception follows this call, in a task of this request.
        structlog.contextvars.bind_contextvars(request=request_id)
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                notes.streamed = headers.get("content-type", "").startswith("text/event-stream")
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            status, notes.problem = status or 500, "internal_error"  # answered outside of this middleware
            raise
        finally:
            route, seconds = getattr(scope.get("route"), "path", None), time.perf_counter() - started
            self._end(AnsweredRequest(scope["method"], route, status, seconds, notes), scope)

    def _end(self, answered: AnsweredRequest, scope: Scope) -> None:
        self._observe(answered, scope)
        path = quote(scope["path"], safe="/:@!$&'()*+,;=~")[:_LONGEST_PATH]
        often = scope["path"] in OFTEN_ASKED and 200 <= answered.status < 400
        _log.log(
            logging.DEBUG if often else logging.INFO,
            "%s %s %s in %.1f ms",
            answered.method,
            path,
            answered.status or "not answered",
            answered.seconds * 1000,
            extra={"status": answered.status, "duration_ms": round(answered.seconds * 1000, 1)}
            | ({"code": answered.notes.problem} if answered.notes.problem else {}),
        )


def notes_of(scope: Scope) -> RequestNotes | None:
    """Return the notes of a request that passed the middleware."""
    notes: RequestNotes | None = scope.get(_NOTES)
    return notes
