"""Sessions of browsers, which log in with a key."""

from sqlmodel import Session, col, delete, select

from app.access.errors import KeyInvalid
from app.access.secrets import digest, new_session
from app.access.tables import ApiKey, LoginSession
from app.database import database_now


def log_in(session: Session, key: str, seconds: float) -> tuple[ApiKey, LoginSession, str]:
    """Add a session for who has the key. Return the key's row, the session's and its secret, which is not stored.

    The session ends after `seconds`, or with its key. Raises KeyInvalid.
    """
    now = float(session.execute(select(database_now())).scalar_one())
    owner = session.exec(select(ApiKey).where(ApiKey.digest == digest(key))).one_or_none()
    if owner is None or owner.state(now) != "valid":
        raise KeyInvalid
    session.execute(delete(LoginSession).where(col(LoginSession.expires_at) <= now))
    secret = new_session()
    expires_at = now + seconds if owner.expires_at is None else min(now + seconds, owner.expires_at)
    made = LoginSession(digest=digest(secret), key_id=owner.id, created_at=now, expires_at=expires_at)
    session.add(made)
    session.flush()
    return owner, made, secret


def log_out(session: Session, secret: str) -> ApiKey | None:
    """End the session and return the row of its key. None: there is no such session any more."""
    found = session.get(LoginSession, digest(secret))
    if found is None:
        return None
    session.delete(found)
    return session.get_one(ApiKey, found.key_id)
