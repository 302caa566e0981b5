"""The login of a browser, and its logout: plain forms, which need no script."""

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from app.access.errors import KeyInvalid
from app.api_models.session import Login
from app.guard.pages import LOGIN
from app.pages.render import PageRoute, render_page
from app.routes.dependencies import CallerIfKnownDep, ServiceDep
from app.routes.session import create_session, delete_session

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_OWN_ADDRESS = re.compile(r"/(?![/\\])[^\x00-\x20\\]*")
"""An address of this service: a browser takes `//host` and `/\\host` for those of another."""


def _safe(address: str) -> str:
    return address if _OWN_ADDRESS.fullmatch(address) else "/"


@router.get(LOGIN)
async def show_login(request: Request, caller: CallerIfKnownDep, next: str = "/") -> Response:  # noqa: A002 - in the address
    """Show the form that takes an API key; lead on who needs none."""
    if caller.name:
        return RedirectResponse(_safe(next), status_code=303)
    return render_page(request, "login.html.jinja", None, next=_safe(next), problem=None)


@router.post(LOGIN)
def log_in(
    request: Request,
    service: ServiceDep,
    key: Annotated[str, Form(min_length=1, max_length=512)],
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - a field of the form
) -> Response:
    """Begin a session and lead back to the page that was asked for."""
    answer = RedirectResponse(_safe(next), status_code=303)
    try:
        create_session(Login.model_validate({"key": key.strip()}), service, request, answer)
    except KeyInvalid as error:
        problem = {"message": error.message, "hint": error.hint}
        return render_page(request, "login.html.jinja", None, status=401, next=_safe(next), problem=problem)
    return answer


@router.post("/ui/logout")
def log_out(request: Request, service: ServiceDep) -> Response:
    """End the session and show the login."""
    answer = RedirectResponse(LOGIN, status_code=303)
    delete_session(service, request, answer)
    return answer
