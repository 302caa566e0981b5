"""A number that stays the same only as long as nobody has committed anything to the database."""

import threading
from collections.abc import Hashable

from sqlalchemy import Engine, PoolProxiedConnection
from sqlalchemy.exc import OperationalError

SQLITE_BUSY_MILLISECONDS = 30_000
"""How long a statement waits for a lock that another process holds."""

_QUESTIONS = {
    # Changes with every commit of another connection, and this one never writes.
    "sqlite": "PRAGMA data_version",
    # Two equal snapshots see the same rows: each transaction that writes makes another, in any database of the server.
    "postgresql": "SELECT pg_current_snapshot()::text",
}


class DatabaseVersion:
    """Asks on a connection of its own; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._question = _QUESTIONS[engine.dialect.name]
        self._lock = threading.Lock()
        self._connection: PoolProxiedConnection | None = None
        self._connections_made = 0
        self._closed = False

    def read(self) -> Hashable:
        """Equal to an earlier answer only if whoever reads now sees what was to be seen then. Raises OperationalError.

        Much cheaper than reading rows: what was made of rows holds as long as the version read before them does.
        """
        with self._lock:
            try:
                return self._ask_twice()
            finally:
                if self._closed:  # by another thread, meanwhile: nobody else would close this connection
                    self._disconnect()

    def read_at_once(self) -> Hashable | None:
        """As `read`, for an event loop: None where the answer would have to be waited for, as always on PostgreSQL.

        SQLite answers in microseconds from memory that processes share, unless someone locks out all others.
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
