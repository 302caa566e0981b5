"""For whom a session reads and writes: queries show only what that caller may see."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlmodel import Session

from app.access.callers import SERVICE, Caller

_CALLER = "edgeface.caller"


def act_for(session: Session, caller: Caller) -> None:
    """Let the session act for the caller from now on."""
    session.info[_CALLER] = caller


def caller_of(session: Session) -> Caller:
    """Return for whom the session acts: the service itself unless somebody was named."""
    caller: Caller = session.info.get(_CALLER, SERVICE)
    return caller


@contextmanager
def acting_for(session: Session, caller: Caller) -> Iterator[None]:
    """Act for the caller meanwhile, such as for the owner of an upload whose dataset is made."""
    before = caller_of(session)
    act_for(session, caller)
    try:
        yield
    finally:
        act_for(session, before)
