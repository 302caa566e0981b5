"""The file of an SQLite database, reached without the service's engine: as it is, whatever state it is in."""

import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from app.finetune.errors import EdgefaceError


class DatabaseMissing(EdgefaceError):
    code = "database_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"there is no database {path}",
            "see EDGEFACE_VAR_DIR and EDGEFACE_DATABASE_URL; the service makes one at its first start",
        )


def sqlite_path(database_url: str) -> Path | None:
    """Where the database lies; None if it is not SQLite. Raises DatabaseMissing."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        return None
    path = Path(url.database or "").absolute()
    if not path.is_file():
        raise DatabaseMissing(path)
    return path


def open_existing(path: Path) -> sqlite3.Connection:
    """Never makes a file. Transactions begin where the caller says so."""
    # Not mode=ro: reading a database in WAL mode needs its -shm file, which only a writer may make.
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)


def find_damage(path: Path) -> list[str]:
    """What SQLite itself finds wrong with the file: damaged pages, and rows that refer to rows that are gone."""
    try:
        connection = open_existing(path)
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            lost = connection.execute("PRAGMA foreign_key_check").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        raise  # locked, or not to be opened: that says nothing of its content
    except sqlite3.DatabaseError as error:
        return [str(error)]
    damage = [line for line in found if line != "ok"]
    return damage + [f"row {row} of {table} refers to a row of {parent} that is gone" for table, row, parent, _ in lost]
