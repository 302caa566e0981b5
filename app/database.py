"""Database engine (SQLite in WAL mode, or PostgreSQL by URL), transactions, the database's clock, and migrations."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, Float, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlmodel import Session

from app.database_errors import is_damage
from app.database_version import SQLITE_BUSY_MILLISECONDS, DatabaseVersion
from app.finetune.shown_paths import ShownPaths

# A client that vanished or froze inside a transaction must not hold up everybody else's, nor a server that vanished its
# clients: without these, TCP and PostgreSQL wait for hours.
_POSTGRESQL_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c lock_timeout=30s -c idle_in_transaction_session_timeout=20s",
}

_MIGRATION_LOCK = 0xED6EFACE


class database_now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """Seconds since 1970 by the database's clock at this statement. All leases use this clock."""

    type = Float()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(*_: object, **__: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class Database:
    """Short transactions on one engine. Thread-safe. `damaged`: a statement has found the database damaged.

    What JSON columns say of paths is written, and read from older rows, as `paths` shows it.
    """

    def __init__(self, url: str, paths: ShownPaths | None = None) -> None:
        self.engine = _make_engine(url, paths or ShownPaths())
        self.damaged = False
        event.listen(self.engine, "handle_error", self._note)
        self._writing_engine = self.engine.execution_options(edgeface_writing=True)
        self.version = DatabaseVersion(self.engine)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a read-only transaction, which sees one snapshot."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that commits when the block ends and rolls back if it raises.

        On SQLite it takes the write lock at its start: SQLite may refuse at once to upgrade a read transaction,
        regardless of the busy timeout.
        """
        with Session(self._writing_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self) -> None:
        """Upgrade the schema to the newest version. Concurrent processes take turns."""
        with self._writing_engine.connect() as connection, _foreign_keys_unchecked(connection), connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            command.upgrade(alembic_config(connection), "head")

    def _note(self, context: ExceptionContext) -> None:
        self.damaged = self.damaged or is_damage(context.original_exception)

    def close(self) -> None:
        self.version.close()
        self.engine.dispose()


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _foreign_keys_unchecked(connection: Connection) -> Iterator[None]:
    """Disable foreign keys during a migration. On SQLite, Alembic recreates a changed table, and dropping the old one
    would delete rows that other tables refer to."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.cursor()
    driver.execute("PRAGMA foreign_keys=OFF")  # does nothing inside a transaction
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")
        driver.close()


def _make_engine(url: str, paths: ShownPaths) -> Engine:
    of_json: dict[str, Any] = {"json_serializer": paths.dumps, "json_deserializer": paths.loads}
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(
            url,
            pool_size=20,
            max_overflow=40,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=_POSTGRESQL_CONNECTION,
            **of_json,
        )
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    patience = {"timeout": SQLITE_BUSY_MILLISECONDS / 1000}
    engine = create_engine(url, pool_size=20, max_overflow=40, hide_parameters=True, connect_args=patience, **of_json)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the begin event below decides; the driver's own BEGIN comes too late
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.OperationalError as error:
        # SQLite says "unable to open" of the file that it would create beside a database on a read-only disk.
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CANTOPEN and _is_on_read_only_disk(connection):
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise
    connection.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MILLISECONDS}")


def _is_on_read_only_disk(connection: sqlite3.Connection) -> bool:
    (_, _, path), *_ = connection.execute("PRAGMA database_list").fetchall()
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("edgeface_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
