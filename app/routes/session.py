"""The session of a browser, which logs in with a key."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response, status

from app.access.acting import act_for
from app.access.audit import note
from app.access.callers import Caller
from app.access.secrets import csrf_token
from app.access.sessions import log_in, log_out
from app.access.tables import ApiKey
from app.api_models.session import CallerView, Login, SessionView
from app.guard.authentication import SESSION_COOKIE
from app.guard.gate import CallerDep
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep

router = APIRouter(prefix="/session", tags=["session"], responses=PROBLEM_RESPONSES)


@router.post("", status_code=status.HTTP_201_CREATED)
def create_session(login: Login, service: ServiceDep, request: Request, response: Response) -> SessionView:
    """Log a browser in. The answer sets a cookie that scripts cannot read; changes by it need the header X-CSRF-Token
    too. The session ends after EDGEFACE_SESSION_HOURS, with its key, or by `DELETE /session`."""
    seconds = service.settings.session_hours * 3600
    with service.database.writing() as session:
        key, made, secret = log_in(session, login.key.get_secret_value(), seconds)
        act_for(session, _owner_of(key, request))
        note(session, "login", "/session")
        view = SessionView(
            name=key.name,
            scopes=key.scopes,
            csrf_token=csrf_token(secret),
            expires_at=datetime.fromtimestamp(made.expires_at, UTC),
        )
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=int(seconds),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return view


@router.get("")
async def get_session(caller: CallerDep) -> CallerView:
    """Return who makes the request, and the scopes."""
    return CallerView(name=caller.name, scopes=sorted(caller.scopes))


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
def delete_session(service: ServiceDep, request: Request, response: Response) -> None:
    """Log out: end the session of the cookie; idempotent."""
    secret = request.cookies.get(SESSION_COOKIE)
    if secret is not None:
        with service.database.writing() as session:
            key = log_out(session, secret)
            if key is not None:
                act_for(session, _owner_of(key, request))
                note(session, "logout", "/session")
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")


def _owner_of(key: ApiKey, request: Request) -> Caller:
    return Caller(key.name, frozenset(), key.id, request.client.host if request.client else None)
