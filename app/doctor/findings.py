"""Findings of a check, and the scope that a check reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlmodel import Session

from app.database import Database
from app.settings import Settings


@dataclass(frozen=True)
class Finding:
    """A problem and its remedy, in words.

    `repair` applies the remedy. It checks again first, since the service may run, and is idempotent. None: only a
    person can. A `note` informs about something that is not wrong.
    """

    problem: str
    remedy: str
    repair: Callable[[], None] | None = None
    note: bool = False


@dataclass(frozen=True)
class Scope:
    """Database, settings and options of a run. `deep`: read every byte of every file. `accept_loss`: drop rows even if
    all their files are missing."""

    database: Database
    settings: Settings
    deep: bool = False
    accept_loss: bool = False

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Like `Database.reading`, but all statements see one snapshot, on PostgreSQL too."""
        engine = self.database.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine, expire_on_commit=False) as session:
            yield session


Check = Callable[[Scope], Iterator[Finding]]
"""Yields findings and changes nothing. Its name is printed; its docstring states the invariant."""
