"""Rows as a released version wrote them, one file a revision: `rows/REVISION.json`.

Before a new revision is written, keep what the one before it writes:
`python -m tests.migrations.rows sqlite:///var/edgeface.sqlite` writes the file of that database's revision.
"""

import json
import sys
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, insert, select

from app.database import Database

FOLDER = Path(__file__).parent / "rows"

Rows = dict[str, list[dict[str, Any]]]


def read_rows(revision: str) -> Rows:
    rows: Rows = json.loads((FOLDER / f"{revision}.json").read_text())
    return rows


def write_rows(connection: Connection) -> Path:
    """All rows of the database into the file of its revision, a line each."""
    tables = _tables(connection)
    lines = [
        f"{json.dumps(table.name)}: [\n"
        + ",\n".join(json.dumps(dict(row)) for row in connection.execute(select(table)).mappings())
        + "\n]"
        for table in tables.sorted_tables
    ]
    path = FOLDER / f"{MigrationContext.configure(connection).get_current_revision()}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def insert_rows(connection: Connection, rows: Rows) -> None:
    """Fill the tables as they are now, whatever the code says that they are."""
    for table in _tables(connection).sorted_tables:
        if rows.get(table.name):
            connection.execute(insert(table), rows[table.name])


def _tables(connection: Connection) -> MetaData:
    tables = MetaData()
    tables.reflect(connection, only=lambda name, _: name != "alembic_version")
    return tables


if __name__ == "__main__":
    database = Database(sys.argv[1])
    with database.engine.connect() as connection:
        print(write_rows(connection))
    database.close()
