"""A version number of the database that changes with every commit."""

import threading
from collections.abc import Hashable

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import OperationalError

SQLITE_BUSY_MILLISECONDS = 30_000
"""Longest wait of a statement for a lock of another process."""

_QUESTIONS = {
    # Changes with every commit of another connection. This connection never writes.
    "sqlite": "PRAGMA data_version",
    # Equal snapshots see the same rows. Each writing transaction makes a new one, in any database of the server.
    "postgresql": "SELECT pg_current_snapshot()::text",
}


class DatabaseVersion:
    """Reads the version on its own connection. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._question = _QUESTIONS[engine.dialect.name]
        self._lock = threading.Lock()
        self._connection: PoolProxiedConnection | None = None
        self._connections_made = 0
        self._closed = False

    def read(self) -> Hashable:
        """Return the version. It equals an earlier one only if a reader sees the same rows as then.

        This is much cheaper than reading rows: results computed from rows stay valid while the version, read before
        them, does not change. Raises OperationalError.
        """
        with self._lock:
            try:
                return self._ask_twice()
            finally:
                if self._closed:  # by another thread, meanwhile: nobody else would close this connection
                    self._disconnect()

    def read_at_once(self) -> Hashable | None:
        """Like `read`, for an event loop: return None if that would block, as it always does on PostgreSQL.

        SQLite answers in microseconds from shared memory, unless another process holds an exclusive lock.
        """
        if self._engine.dialect.name != "sqlite" or not self._lock.acquire(blocking=False):
            return None
        try:
            return None if self._connection is None else self._ask_without_waiting(self._connection)
        except self._engine.dialect.loaded_dbapi.Error:
            return None
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._disconnect()

    def _ask_twice(self) -> Hashable:
        try:
            return self._ask()
        except self._engine.dialect.loaded_dbapi.Error:
            self._disconnect()  # such as after a restart of the server: a new connection may be well
        try:
            return self._ask()
        except self._engine.dialect.loaded_dbapi.Error as error:
            self._disconnect()
            raise OperationalError(self._question, None, error) from error

    def _ask_without_waiting(self, connection: PoolProxiedConnection) -> Hashable:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=0")
        try:
            return self._ask()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_MILLISECONDS}")
            cursor.close()

    def _ask(self) -> Hashable:
        if self._connection is None:
            self._connection = self._connect()
            self._connections_made += 1
        cursor = self._connection.cursor()
        try:
            cursor.execute(self._question)
            (answer,) = cursor.fetchone() or (None,)
        finally:
            cursor.close()
        # SQLite counts per connection.
        return (self._connections_made, answer)

    def _connect(self) -> PoolProxiedConnection:
        connection = self._engine.raw_connection()
        connection.detach()  # it stays out of the pool: nobody else may use it, least of all to write
        if self._engine.dialect.name == "postgresql":
            # No transaction stays open between two questions, in which the second would see what the first saw.
            self._engine.dialect.set_isolation_level(connection.dbapi_connection, "AUTOCOMMIT")  # type: ignore[arg-type]
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
