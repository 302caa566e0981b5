"""The number by which the API knows that what it read still holds."""

import gc
import sqlite3

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.finetune.events import Progressed
from app.jobs.transitions import fence, recording
from tests.integration.conftest import running, submit


@pytest.mark.postgresql
def test_it_changes_with_every_commit(database: Database) -> None:
    claim = running(database)
    seen = [database.version.read()]
    for progress in (0.25, 0.5):
        with database.writing() as session:
            recording.record_progress(
                session, claim, Progressed(progress=progress, eta_seconds=None, stage=None, epoch=None)
            )
        seen.append(database.version.read())
    assert len(set(seen)) == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # on PostgreSQL others' commits count too
def test_it_changes_with_nothing_else(database: Database) -> None:
    claim = running(database)
    before = database.version.read()
    with database.reading() as session:
        fence.clock(session)
    assert database.version.read() == before
    with database.writing() as session:
        recording.record_progress(session, claim, Progressed(progress=0.25, eta_seconds=None, stage=None, epoch=None))
        assert database.version.read() == before  # nobody sees it yet


def test_another_connection_gives_another_version(database: Database) -> None:
    """SQLite counts per connection: an equal count on a new one says nothing."""
    before = database.version.read()
    database.version.close()
    assert database.version.read() != before


@pytest.mark.postgresql
def test_a_connection_that_broke_is_made_anew(database: Database) -> None:
    database.version.read()
    if database.engine.dialect.name == "postgresql":
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        with database.engine.connect() as connection:
            connection.execute(text(others + "pg_backend_pid()"))
    else:
        assert database.version._connection is not None
        database.version._connection.dbapi_connection.close()  # type: ignore[union-attr]
    assert database.version.read()


def test_on_sqlite_alone_it_is_had_at_once(database: Database) -> None:
    assert database.version.read_at_once() is None  # there is no connection yet
    version = database.version.read()
    sqlite = database.engine.dialect.name == "sqlite"
    assert database.version.read_at_once() == (version if sqlite else None)
    submit(database)
    assert database.version.read_at_once() != version


@pytest.mark.postgresql
def test_at_once_does_not_wait_for_another_thread_that_asks(database: Database) -> None:
    database.version.read()
    with database.version._lock:
        assert database.version.read_at_once() is None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_away_is_an_operational_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(database.engine, "raw_connection", refuse)
    with pytest.raises(OperationalError):
        database.version.read()
    assert database.version.read_at_once() is None


@pytest.mark.postgresql
def test_a_reader_that_comes_after_the_end_leaves_no_connection_open(database_url: str) -> None:
    database = Database(database_url)
    database.version.read()
    database.close()
    database.version.read()
    database.engine.dispose()
    del database
    gc.collect()  # an open connection of PostgreSQL warns, and a warning fails the test
