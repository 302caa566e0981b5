"""The middleware that adds the headers of security."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.headers import SECURITY_HEADERS
from app.guard.content_policy import docs_policy

_DOCS = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
_STATIC = "/static-offline-docs/"


class SecurityHeaders:
    """Adds each header that the answer does not have. `ProblemResponse` adds them itself, for errors that outer
    middlewares answer with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] == 304:  # its headers would take the place of those that the browser has
                    await send(message)
                    return
                if scope["path"] in _DOCS and message["status"] == 200:
                    held.append(message)  # its policy has the hashes of the body
                    return
                if scope["path"].startswith(_STATIC):
                    headers.setdefault("Cache-Control", "no-cache")
                _add_missing(headers)
            elif held:
                start = held.pop()
                headers = MutableHeaders(scope=start)
                headers["Content-Security-Policy"] = docs_policy(message.get("body", b""))
                _add_missing(headers)
                await send(start)
            await send(message)

        await self._app(scope, receive, add)


def _add_missing(headers: MutableHeaders) -> None:
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)
