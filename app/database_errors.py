"""What is wrong with the database, by the errors of its driver."""

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from app.exit_status import CANNOT_START
from app.finetune.errors import EdgefaceError


class DatabaseUnavailable(EdgefaceError):
    code = "database_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "the database does not answer",
            "try again in a few seconds; if it still fails, see GET /health/ready and the API's log",
        )


class DatabaseDamaged(EdgefaceError):
    code = "database_damaged"
    exit_status = CANNOT_START

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the database is damaged: {reason}",
            "stop the service and run `edgeface-finetune doctor`, which names the damage; then restore the last backup "
            "as docs/operations.md says",
        )


class DatabaseDiskFull(EdgefaceError):
    code = "database_disk_full"
    exit_status = CANNOT_START

    def __init__(self) -> None:
        super().__init__(
            "the disk of the database is full",
            "free space on it, then send the request again; jobs that run continue without further action",
        )


class DatabaseReadOnly(EdgefaceError):
    code = "database_read_only"
    exit_status = CANNOT_START

    def __init__(self) -> None:
        super().__init__(
            "the database can be read, but not written",
            "give the service's user (uid 10001 in the container images) the database's file and its folder, and check "
            "that its disk is not mounted read-only",
        )


class DatabaseRefused(EdgefaceError):
    code = "database_refused"
    exit_status = CANNOT_START

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the database refuses the service: {reason}",
            "check the user, the password and the name of the database in EDGEFACE_DATABASE_URL",
        )


def explain(error: DBAPIError) -> EdgefaceError | None:
    """Return what is wrong with the database. None: a statement is wrong, which is a fault of this program."""
    found = _of_sqlite(error.orig) if isinstance(error.orig, sqlite3.Error) else _of_postgresql(error.orig)
    if found is None and isinstance(error, OperationalError | InterfaceError):
        return DatabaseUnavailable()
    return found


def is_damage(error: BaseException | None) -> bool:
    """Return whether an error of the driver says that the database is damaged."""
    found = _of_sqlite(error) if isinstance(error, sqlite3.Error) else _of_postgresql(error)
    return isinstance(found, DatabaseDamaged)


def _of_sqlite(error: sqlite3.Error) -> EdgefaceError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DatabaseDamaged(str(error))
    if primary == sqlite3.SQLITE_FULL:
        return DatabaseDiskFull()
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return DatabaseReadOnly()
    return None


def _of_postgresql(error: BaseException | None) -> EdgefaceError | None:
    state = getattr(error, "sqlstate", None) or ""
    if state in ("XX001", "XX002"):
        return DatabaseDamaged(str(error))
    if state == "53100":
        return DatabaseDiskFull()
    if state == "25006":
        return DatabaseReadOnly()
    if state == "42P01":  # no such table, as while the database is restored
        return DatabaseUnavailable()
    if state.startswith("28") or state in ("3D000", "42501") or "FATAL:  password" in str(error):
        return DatabaseRefused(str(error).strip().rpartition("FATAL:")[2].strip())
    return None
