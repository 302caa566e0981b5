"""Callers: who makes a request."""

from dataclasses import dataclass

from app.access.errors import NotOwner
from app.access.scopes import Scope

LOCAL_OWNER = "local"
"""Owner of what is made while the service has no keys."""

ADMIN_OWNER = "admin"
"""Owner of what was made before there were owners, and of what the service itself makes."""


@dataclass(frozen=True)
class Caller:
    """`name` owns what the caller makes: keys of one name belong to one owner. `scopes` has the included ones too.
    `address` is the client's network address, None without a network."""

    name: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    address: str | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    def must_own(self, what: str, owner: str) -> None:
        """Raise NotOwner where the caller may see `what`, and not change it."""
        if not self.may_change(owner):
            raise NotOwner(what, owner)

    def may_see(self, owner: str, shared: bool) -> bool:
        return shared or self.may_change(owner)

    def may_change(self, owner: str) -> bool:
        return self.is_admin or owner == self.name


LOCAL = Caller(LOCAL_OWNER, frozenset(Scope))
"""Everybody, while the service has no keys."""

SERVICE = Caller(ADMIN_OWNER, frozenset(Scope))
"""The service itself, such as a worker that finds the inputs of a job again."""

NOBODY = Caller("", frozenset())
"""A request without a key, on a route that needs none."""
