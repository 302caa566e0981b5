"""RequestSizes: middleware that refuses a request whose target, headers or body are too large, before it is read."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.finetune.errors import EdgefaceError
from app.request_limits.answer import Answer
from app.request_limits.errors import BodyTooLarge, HeadersTooLarge, TargetTooLong

MOST_BODY_BYTES = 1_000_000
"""Of a request with JSON."""

MOST_TARGET_BYTES = 8192
"""Of path and query together."""

MOST_HEAD_BYTES = 32_768
"""Of all headers together. The server reads no more of a head that does not end."""


class RequestSizes:
    """`larger` has the most bytes of a body for paths that take more than MOST_BODY_BYTES: the path itself and those
    below it. None: no limit here, because the route counts what it reads."""

    def __init__(self, app: ASGIApp, answer: Answer, larger: Mapping[str, int | None] | None = None) -> None:
        self._app = app
        self._answer = answer
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_TARGET_BYTES:
            await self._refuse(TargetTooLong(MOST_TARGET_BYTES), scope, receive, send)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD_BYTES:
            await self._refuse(HeadersTooLarge(MOST_HEAD_BYTES), scope, receive, send)
            return
        most = self._most_bytes(scope["path"])
        if most is None:
            await self._app(scope, receive, send)
            return
        declared = _declared_bytes(scope)
        if declared is not None and declared > most:
            await self._refuse(BodyTooLarge(most, declared), scope, receive, send)
            return
        read = 0

        async def receive_counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise BodyTooLarge(most)
            return message

        await self._app(scope, receive_counted, send)

    def _most_bytes(self, path: str) -> int | None:
        for prefix, most in self._larger.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return most
        return MOST_BODY_BYTES

    async def _refuse(self, error: EdgefaceError, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(Request(scope), error)(scope, receive, send)


def _declared_bytes(scope: Scope) -> int | None:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else None
    return None
