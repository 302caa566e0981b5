"""RateLimits: middleware that answers 429 to a caller who sends too many requests."""

import ipaddress
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.request_limits.answer import Answer
from app.request_limits.errors import TooManyRequests
from app.request_limits.rates import Rates, Taken

UNLIMITED = frozenset({"/health/live"})
READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def address_of(scope: Scope) -> str | None:
    """Return the client's address, of IPv6 the network of 64 bits, all of which one client can use. None for a client
    without an address."""
    client = scope.get("client")
    if client is None:
        return None
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


class RateLimits:
    """Counts the requests of each caller; `caller_of` names it, None for one without a limit. Answers to writes have
    the headers RateLimit and RateLimit-Policy."""

    def __init__(
        self, app: ASGIApp, answer: Answer, rates: Rates, caller_of: Callable[[Scope], str | None] = address_of
    ) -> None:
        self._app = app
        self._answer = answer
        self._rates = rates
        self._caller_of = caller_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED or (caller := self._caller_of(scope)) is None:
            await self._app(scope, receive, send)
            return
        policy = "reads" if scope["method"] in READING_METHODS else "writes"
        taken = await self._rates.take(caller, policy)
        if taken is None or (taken.allowed and policy == "reads"):
            await self._app(scope, receive, send)
        elif taken.allowed:
            await self._app(scope, receive, _with_headers(send, taken))
        else:
            answer = self._answer(Request(scope), TooManyRequests(policy, taken.most, taken.window, taken.seconds))
            await answer(scope, receive, _with_headers(send, taken))


def _with_headers(send: Send, taken: Taken) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(taken.headers())
        await send(message)

    return send_with_headers
