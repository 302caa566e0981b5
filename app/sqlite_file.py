"""Access to the file of an SQLite database without the service's engine, in whatever state it is."""

import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from app.finetune.errors import EdgefaceError


class DatabaseMissing(EdgefaceError):
    code = "database_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"there is no database {path}",
            "check EDGEFACE_VAR_DIR and EDGEFACE_DATABASE_URL; the service creates the database at its first start",
        )


def sqlite_path(database_url: str) -> Path | None:
    """Return the path of the database, or None if it is not SQLite. Raises DatabaseMissing."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite":
        return None
    path = Path(url.database or "").absolute()
    if not path.is_file():
        raise DatabaseMissing(path)
    return path


def open_existing(path: Path) -> sqlite3.Connection:
    """Connect to an existing database. The caller starts transactions."""
    # Not mode=ro: reading a database in WAL mode needs its -shm file, which only a writer may create.
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)


def find_damage(path: Path) -> list[str]:
    """Return the problems that SQLite's checks report: damaged pages, and rows that refer to missing rows."""
    try:
        connection = open_existing(path)
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(20)")]
            lost = connection.execute("PRAGMA foreign_key_check").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError:
        raise  # locked or not readable, which does not mean that its content is damaged
    except sqlite3.DatabaseError as error:
        return [str(error)]
    damage = [line for line in found if line != "ok"]
    return damage + [f"row {row} of {table} refers to a row of {parent} that is gone" for table, row, parent, _ in lost]
