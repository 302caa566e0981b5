"""The middleware that refuses foreign host names and pages of other sites.

A page in a browser reaches a service on this machine in two ways. By DNS rebinding its own name resolves to 127.0.0.1:
the Host header then has that name. By a cross-site request, such as a form that is sent: the browser then says where it
comes from, by Origin and Sec-Fetch-Site. Programs send neither and are not concerned.
"""

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.errors import AccessRefused, CrossSiteRefused, HostRefused
from app.access.start import is_loopback
from app.guard.authentication import SAFE_METHODS
from app.problems import answer_error
from app.settings import Settings

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    # No cookies: pages of other sites send a key.
    "allow_headers": ["Authorization", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Range"],
    "expose_headers": [
        "Content-Range",
        "Deprecation",
        "ETag",
        "Idempotency-Replayed",
        "Link",
        "Location",
        "Retry-After",
    ],
}
"""What pages of EDGEFACE_CORS_ORIGINS may send and read."""

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+)(?::[0-9]{1,5})?")
_DEFAULT_PORTS = (":80", ":443")


class HostsAndOrigins:
    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = _names(settings)
        self._is_local = is_loopback(settings.host)
        self._origins = frozenset(settings.cors_origin_list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope["method"], Headers(scope=scope))
            except AccessRefused as refused:
                await answer_error(Request(scope), refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, method: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._is_known(host):
            raise HostRefused(host)
        origins = headers.getlist("origin")
        for origin in origins:
            if origin not in self._origins and _authority(origin) != _without_default_port(host):
                raise CrossSiteRefused(origin)
        site = headers.get("sec-fetch-site", "none")
        if site in ("none", "same-origin") or (origins and self._origins >= set(origins)):
            return
        # A link on another page may be followed.
        is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        if method not in SAFE_METHODS or not is_link:
            raise CrossSiteRefused(f"Sec-Fetch-Site: {site}")

    def _is_known(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].lower().strip("[]").removesuffix(".")
        if name in self._names or "*" in self._names or is_loopback(name):
            return True
        # No name resolves to what is an address already. On loopback only loopback's own addresses are asked for.
        return not self._is_local and _is_address(name)


def _names(settings: Settings) -> frozenset[str]:
    named = {settings.host.strip("[]"), *settings.allowed_host_list}
    if not is_loopback(settings.host):
        named.add(socket.gethostname())
    return frozenset(name.lower() for name in named)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _authority(origin: str) -> str | None:
    """Return host and port of an origin, without the port that its scheme implies. None for `null`."""
    try:
        return _without_default_port(urlsplit(origin).netloc) or None
    except ValueError:
        return None


def _without_default_port(host: str) -> str:
    for port in _DEFAULT_PORTS:
        host = host.removesuffix(port)
    return host.lower()
