"""The middleware that asks for a key and the scope of the route, before the body is read."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.exc import DBAPIError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.callers import NOBODY, Caller
from app.access.errors import AccessRefused, KeyInvalid, KeyMissing, ScopeMissing
from app.access.scopes import Scope as Needed
from app.guard.authentication import Authentication
from app.guard.pages import to_login, wants_page
from app.guard.route_scopes import OPEN, RouteScopes
from app.problems import answer_database_error, answer_error

_CALLER = "edgeface.caller"


class Gate:
    def __init__(self, app: ASGIApp, authentication: Authentication, routes: Callable[[], Sequence[BaseRoute]]) -> None:
        self._app = app
        self._authentication = authentication
        self._routes = routes
        self._scopes: RouteScopes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._scopes is None:  # all routes are there once the first request comes
            self._scopes = RouteScopes(self._routes())
        needed = self._scopes.of(scope["method"], scope["path"].removeprefix(scope.get("root_path", "")))
        request = Request(scope)
        try:
            if needed is not OPEN:
                # In this scope itself, to which the router adds the route: outer middlewares read it.
                scope[_CALLER] = await self._authentication.caller_of(request)
                _check(scope[_CALLER], needed)
        except AccessRefused as refused:
            stranger = isinstance(refused, KeyMissing | KeyInvalid) and wants_page(request)
            answer = to_login(request) if stranger else answer_error(request, refused)
            await answer(scope, receive, send)
            return
        except DBAPIError as error:
            if (problem := answer_database_error(request, error)) is None:
                raise
            await problem(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _check(caller: Caller, needed: Needed) -> None:
    if not caller.name:
        raise KeyMissing
    if not caller.may(needed):
        raise ScopeMissing(needed, sorted(caller.scopes))


def caller_in(scope: Scope) -> Caller:
    """Return who makes the request, as far as the gate found out. NOBODY without a key, and before the gate."""
    caller: Caller = scope.get(_CALLER, NOBODY)
    return caller


def key_of(scope: Scope) -> str | None:
    """Return the id of the key or of the key's session with which a request passed the gate."""
    key_id = caller_in(scope).key_id
    return None if key_id is None else f"key {key_id}"


async def get_caller(request: Request) -> Caller:
    return caller_in(request.scope)


CallerDep = Annotated[Caller, Depends(get_caller)]
"""Who makes the request, and may use the route. NOBODY on a route that needs no key."""
