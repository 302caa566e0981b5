"""Tables of keys and sessions. Times are seconds since 1970 (UTC) by the database's clock."""

from typing import Any

from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field, SQLModel

from app.access.scopes import Scope


class ApiKey(SQLModel, table=True):
    """A key. Its secret is shown once, when it is made, and is not stored."""

    __table_args__ = (UniqueConstraint("digest", name="uq_apikey_digest"),)

    id: str = Field(primary_key=True)
    name: str
    """The owner of what is made with the key."""
    prefix: str
    """The first characters of the secret, by which people know it."""
    digest: str
    scopes: list[str] = Field(sa_type=JSON)
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    """Written at most once a minute."""
    revoked_at: float | None = None
    from_file: bool = False
    """Whether EDGEFACE_ADMIN_KEY_FILE has, or had it."""

    @property
    def granted(self) -> list[Scope]:
        return [Scope(scope) for scope in self.scopes]

    def state(self, now: float) -> str:
        """Return `valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class LoginSession(SQLModel, table=True):
    """A browser that logged in with a key. The session ends with its key."""

    digest: str = Field(primary_key=True)
    """Of the secret in the cookie."""
    key_id: str = Field(foreign_key="apikey.id", index=True)
    created_at: float
    expires_at: float


class AuditEntry(SQLModel, table=True):
    """One change: who made it, when and from where."""

    id: int | None = Field(default=None, primary_key=True)
    at: float = Field(index=True)
    who: str
    key_id: str | None = None
    address: str | None = None
    action: str
    target: str
    details: dict[str, Any] = Field(sa_type=JSON)
