"""The keys and sessions that let somebody in, as of one version of the database."""

import time
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from app.access.callers import Caller
from app.access.scopes import with_included
from app.access.tables import ApiKey, LoginSession
from app.database import database_now


@dataclass(frozen=True)
class KeyRing:
    """`is_empty`: there never was a key. Callers by the digest of their secret, each with the time it ends at."""

    is_empty: bool = True
    ahead_seconds: float = 0.0
    """How far the database's clock is ahead of this machine's."""
    keys: dict[str, tuple[Caller, float | None]] = field(default_factory=dict)
    sessions: dict[str, tuple[Caller, float | None]] = field(default_factory=dict)

    def of_key(self, digest: str) -> Caller | None:
        return self._valid(self.keys.get(digest))

    def of_session(self, digest: str) -> Caller | None:
        return self._valid(self.sessions.get(digest))

    def _valid(self, found: tuple[Caller, float | None] | None) -> Caller | None:
        if found is None:
            return None
        caller, ends_at = found
        return caller if ends_at is None or time.time() + self.ahead_seconds < ends_at else None


def read_key_ring(session: Session) -> KeyRing:
    now = float(session.execute(select(database_now())).scalar_one())
    rows = session.exec(select(ApiKey)).all()
    valid = {key.id: key for key in rows if key.state(now) == "valid"}
    callers = {key.id: Caller(key.name, with_included(key.granted), key.id) for key in valid.values()}
    logins = session.exec(select(LoginSession).where(col(LoginSession.expires_at) > now)).all() if valid else ()
    return KeyRing(
        is_empty=not rows,
        ahead_seconds=now - time.time(),
        keys={key.digest: (callers[key.id], key.expires_at) for key in valid.values()},
        sessions={each.digest: (callers[each.key_id], each.expires_at) for each in logins if each.key_id in callers},
    )
