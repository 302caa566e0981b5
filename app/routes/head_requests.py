"""HEAD wherever GET works: the same status and headers, and no body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD = "edgeface.head"


class HeadAsGet:
    """Middleware that routes HEAD as GET and sends no body. Responses that send a file or a stream ask `is_head`, so
    that they do not produce one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        as_get: Scope = {**scope, "method": "GET", _IS_HEAD: True}
        try:
            await self._app(as_get, receive, send_without_body)
        finally:
            scope["route"] = as_get.get("route")


def is_head(scope: Scope) -> bool:
    """Return whether the request was HEAD before it was routed as GET."""
    return bool(scope.get(_IS_HEAD))
