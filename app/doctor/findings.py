"""What a check finds, and what a check may look at."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlmodel import Session

from app.database import Database
from app.settings import Settings


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, in words, and what to do about it.

    `mend` does it; it looks again first, since the service may run meanwhile, and may be repeated. None: a person has
    to. A `note` is worth knowing, and nothing is wrong.
    """

    problem: str
    remedy: str
    mend: Callable[[], None] | None = None
    note: bool = False


@dataclass(frozen=True)
class Scope:
    """What is looked at. `deep`: read every byte of every file. `accept_loss`: rows may go even if all files have."""

    database: Database
    settings: Settings
    deep: bool = False
    accept_loss: bool = False

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """As `Database.reading`, with all statements seeing one state of the rows, on PostgreSQL too."""
        engine = self.database.engine
        if engine.dialect.name == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine, expire_on_commit=False) as session:
            yield session


Check = Callable[[Scope], Iterator[Finding]]
"""Yields what it finds and changes nothing. Its name is shown, its docstring says what it looks for."""
