"""The rows of a PostgreSQL database as JSON, a file for each table: needs no pg_dump of the server's version."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, MetaData, TextClause, text

_VERSION_TABLE = "alembic_version"
_ROWS_AT_ONCE = 500


def write_rows(connection: Connection, folder: Path) -> list[str]:
    """Write every table, as one snapshot sees it. Return their names in the order in which they can be inserted."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    tables = _tables(connection)
    for table in tables:
        rows = connection.execution_options(stream_results=True).execute(
            text(f"SELECT row_to_json(t)::text FROM {_quoted(connection, table)} t")  # noqa: S608 - a table's own name
        )
        with (folder / f"{table}.jsonl").open("w", encoding="utf-8") as file:
            # A text of JSON in a row may have line breaks between its values.
            file.writelines(json.dumps(row) + "\n" for row in rows.scalars())
    return tables


def insert_rows(connection: Connection, folder: Path, tables: Iterable[str]) -> None:
    """Insert the rows into the empty tables of a database with the same schema. Raises ValueError for other tables."""
    known = _tables(connection)
    for table in tables:
        if table not in known:
            raise ValueError(f"the table {table} is unknown")
        with (folder / f"{table}.jsonl").open(encoding="utf-8") as file:
            for rows in _batches(json.loads(line) for line in file):
                connection.execute(_insertion(connection, table, json.loads(rows[0])), {"rows": rows})
        _advance_sequences(connection, table)


def has_rows(connection: Connection) -> bool:
    """Return whether any table has a row."""
    exists = "SELECT EXISTS (SELECT 1 FROM {})"
    return any(
        connection.execute(text(exists.format(_quoted(connection, table)))).scalar_one()
        for table in _tables(connection)
    )


def _tables(connection: Connection) -> list[str]:
    """The tables, each after those that it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table.name for table in metadata.sorted_tables if table.name != _VERSION_TABLE]


def _insertion(connection: Connection, table: str, columns: Iterable[str]) -> TextClause:
    """By name: a column that a later version has added gets its default."""
    name, names = _quoted(connection, table), ", ".join(_quoted(connection, column) for column in columns)
    return text(
        f"INSERT INTO {name} ({names}) SELECT {names} FROM unnest(CAST(:rows AS text[])) AS line,"  # noqa: S608 - as above
        f" json_populate_record(NULL::{name}, line::json)"
    )


def _advance_sequences(connection: Connection, table: str) -> None:
    """Let new rows get numbers after those inserted."""
    columns = connection.execute(
        text("SELECT column_name FROM information_schema.columns WHERE table_name = :table"), {"table": table}
    ).scalars()
    for column in columns.all():
        sequence = connection.execute(
            text("SELECT pg_get_serial_sequence(:table, :column)"),
            {"table": _quoted(connection, table), "column": column},
        ).scalar_one()
        if sequence is not None:
            newest = f"SELECT coalesce(max({_quoted(connection, column)}), 0) + 1 FROM {_quoted(connection, table)}"  # noqa: S608 - as above
            connection.execute(text(f"SELECT setval(:sequence, ({newest}), false)"), {"sequence": sequence})


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)


def _batches(rows: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch
