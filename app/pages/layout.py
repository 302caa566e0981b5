"""What every page shows around its content: the workers, the caller, and whether the service is open to everybody."""

from dataclasses import dataclass

from fastapi import Request
from sqlmodel import Session

from app.access.callers import LOCAL_OWNER, Caller
from app.access.scopes import Scope
from app.access.secrets import csrf_token
from app.access.start import is_insecure
from app.guard.authentication import SESSION_COOKIE
from app.jobs import listing, queries
from app.routes.dependencies import Service


@dataclass(frozen=True)
class Layout:
    """`csrf_token` goes with every change of a session; None without a session."""

    workers: int
    working: int
    caller: Caller
    insecure: bool
    csrf_token: str | None

    @property
    def logged_in(self) -> bool:
        return self.caller.key_id is not None

    @property
    def may_submit(self) -> bool:
        return self.caller.may(Scope.SUBMIT)

    @property
    def may_change_data(self) -> bool:
        return self.caller.may(Scope.DATA)

    @property
    def worker_words(self) -> tuple[str, str]:
        """As in `2 workers` and `, 1 job`; the second part is left out on a small screen."""
        if not self.workers:
            return "no worker", ""
        jobs = f", {self.working} job{'s' if self.working != 1 else ''}" if self.working else ", idle"
        return f"{self.workers} worker{'s' if self.workers != 1 else ''}", jobs


def look_at_layout(session: Session, service: Service, caller: Caller, request: Request) -> Layout:
    """Read the layout of a page for the caller."""
    secret = request.cookies.get(SESSION_COOKIE)
    open_to_all = caller.name == LOCAL_OWNER and caller.key_id is None
    return Layout(
        workers=len(queries.workers_seen(session, service.settings.worker_seen_seconds)),
        working=listing.count_claimed(session),
        caller=caller,
        insecure=is_insecure(service.settings, open_to_all),
        csrf_token=None if secret is None or open_to_all else csrf_token(secret),
    )
