"""What a key may do."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    READ = "read"
    """See jobs, datasets and weights that are one's own or shared, and download results."""

    SUBMIT = "submit"
    """Submit jobs and change one's own. Includes `read`."""

    DATA = "data"
    """Register, upload, share and remove datasets and weights of one's own. Includes `read`."""

    ADMIN = "admin"
    """Everything, of all owners."""


_INCLUDED = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.SUBMIT: frozenset({Scope.SUBMIT, Scope.READ}),
    Scope.DATA: frozenset({Scope.DATA, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


def with_included(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return the scopes with those that they include."""
    return frozenset().union(*(_INCLUDED[scope] for scope in scopes))
