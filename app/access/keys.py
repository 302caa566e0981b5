"""Makes, lists, finds and revokes keys."""

import re
import secrets as random
from collections.abc import Sequence
from pathlib import Path

from sqlmodel import Session, col, delete, select, update

from app.access.audit import note
from app.access.callers import ADMIN_OWNER, LOCAL_OWNER
from app.access.errors import AdminKeyFileInvalid, KeyNameInvalid, KeyNotFound
from app.access.scopes import Scope
from app.access.secrets import LEAST_CHARACTERS, SHOWN_CHARACTERS, digest, new_key
from app.access.tables import ApiKey, LoginSession
from app.database import database_now

SECONDS_BETWEEN_USES = 60.0
"""`last_used_at` is written at most this often."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")


def create_key(
    session: Session,
    name: str,
    scopes: Sequence[Scope],
    *,
    expires_in_seconds: float | None = None,
    secret: str | None = None,
) -> tuple[ApiKey, str]:
    """Add a key and return it with its secret, which nobody can read again. Raises KeyNameInvalid."""
    if _NAME.fullmatch(name) is None:
        raise KeyNameInvalid(name, "it has 1 to 64 characters of a-z, 0-9, `.`, `_`, `@` and `-`")
    if name in (ADMIN_OWNER, LOCAL_OWNER) and Scope.ADMIN not in scopes:
        raise KeyNameInvalid(name, "jobs from before there were keys belong to it, so only an admin's key may have it")
    secret, now = secret or new_key(), _clock(session)
    key = ApiKey(
        id=random.token_hex(4),
        name=name,
        prefix=secret[:SHOWN_CHARACTERS],
        digest=digest(secret),
        scopes=[str(scope) for scope in scopes],
        created_at=now,
        expires_at=None if expires_in_seconds is None else now + expires_in_seconds,
    )
    session.add(key)
    session.flush()
    note(session, "create key", f"key {key.id}", name=key.name, scopes=key.scopes)
    return key, secret


def list_keys(session: Session) -> list[ApiKey]:
    """Return all keys, the oldest first."""
    return list(session.exec(select(ApiKey).order_by(col(ApiKey.created_at), col(ApiKey.id))))


def revoke_key(session: Session, id_or_prefix: str) -> ApiKey:
    """Revoke the key with this id, or whose shown prefix or secret this is; end its sessions. Idempotent.

    Raises KeyNotFound.
    """
    keys = list_keys(session)
    found = [key for key in keys if id_or_prefix in (key.id, key.prefix) or key.digest == digest(id_or_prefix)]
    if len(found) != 1:
        # Not the text itself, which may be a secret.
        raise KeyNotFound(id_or_prefix[:SHOWN_CHARACTERS], [f"{key.id} ({key.name})" for key in keys])
    (key,) = found
    if key.revoked_at is None:
        key.revoked_at = _clock(session)
        session.add(key)
        note(session, "revoke key", f"key {key.id}", name=key.name)
    session.execute(delete(LoginSession).where(col(LoginSession.key_id) == key.id))
    session.flush()
    return key


def has_keys(session: Session) -> bool:
    """Whether there ever was a key: from then on every request needs one, also after all were revoked."""
    return session.exec(select(ApiKey.id).limit(1)).first() is not None


def has_valid_key(session: Session) -> bool:
    """Whether anybody can get in by a key."""
    now = _clock(session)
    return any(key.state(now) == "valid" for key in list_keys(session))


def note_use(session: Session, key_id: str) -> None:
    """Write that the key was used now, unless it was written within SECONDS_BETWEEN_USES."""
    now = database_now()
    before = col(ApiKey.last_used_at).is_(None) | (col(ApiKey.last_used_at) < now - SECONDS_BETWEEN_USES)
    session.execute(update(ApiKey).where(col(ApiKey.id) == key_id, before).values(last_used_at=now))


def read_admin_key(path: Path) -> str | None:
    """Return the key in the file, None if the file is empty. Raises AdminKeyFileInvalid."""
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AdminKeyFileInvalid(f"{path} cannot be read: {reason}") from None
    if not secret:
        return None
    if len(secret) < LEAST_CHARACTERS or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise AdminKeyFileInvalid(f"the key in {path} is too short, or has spaces or more than one line")
    return secret


def keep_admin_key(session: Session, secret: str) -> None:
    """Let the key of EDGEFACE_ADMIN_KEY_FILE in. The one that the file had before is revoked.

    A key that was revoked by its id stays revoked.
    """
    if session.exec(select(ApiKey).where(ApiKey.digest == digest(secret))).one_or_none() is None:
        for key in session.exec(select(ApiKey).where(col(ApiKey.from_file).is_(True))).all():
            revoke_key(session, key.id)
        created, _ = create_key(session, ADMIN_OWNER, [Scope.ADMIN], secret=secret)
        created.from_file = True
        session.add(created)


def _clock(session: Session) -> float:
    return float(session.execute(select(database_now())).scalar_one())
