"""Keys for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.access.keys import create_key
from app.access.scopes import Scope
from app.database import Database

SITE = {"Host": "testserver"}


def key_of(database: Database, name: str, *scopes: Scope, expires_in_seconds: float | None = None) -> str:
    """Make a key and return its secret."""
    with database.writing() as session:
        return create_key(session, name, scopes, expires_in_seconds=expires_in_seconds)[1]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()
