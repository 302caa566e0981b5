"""Copy the database consistently while the service runs."""

import contextlib
import shlex
import sqlite3
from pathlib import Path

from sqlalchemy import URL, make_url

from app.finetune.atomic import atomic_path
from app.finetune.errors import Blame, EdgefaceError, name_some
from app.sqlite_file import find_damage, open_existing, sqlite_path

_PAGES_A_STEP = 1024


class BackupExists(EdgefaceError):
    code = "backup_exists"
    blame: Blame = "request"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists", "give another name, or --force to replace it")


class BackupNeedsServer(EdgefaceError):
    code = "backup_needs_pg_dump"
    blame: Blame = "request"

    def __init__(self, url: URL, target: Path) -> None:
        # Without the password: other users can read command lines. pg_dump asks for it, or reads PGPASSWORD.
        plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
        super().__init__(
            "the database is PostgreSQL, which has its own backup tools",
            f"pg_dump --format=custom --file={shlex.quote(str(target))} {shlex.quote(plain.render_as_string())}",
        )


class BackupDamaged(EdgefaceError):
    code = "backup_damaged"

    def __init__(self, database: Path, damage: list[str]) -> None:
        super().__init__(
            f"the copy of {database} is damaged, so it was not kept: {name_some(damage)}",
            "the database itself is most likely damaged too: see edgeface-finetune doctor, and keep older backups",
        )


class BackupFailed(EdgefaceError):
    code = "backup_failed"

    def __init__(self, target: Path, reason: object) -> None:
        super().__init__(
            f"{target} cannot be written: {reason}", "check that its folder exists and has space, then repeat"
        )


def back_up(database_url: str, target: Path, *, force: bool = False) -> int:
    """Copy the database to `target`, which appears once it is complete and checked. Return its size in bytes.

    Raises BackupExists unless `force`, DatabaseMissing, BackupDamaged, BackupFailed and BackupNeedsServer.
    """
    source = sqlite_path(database_url)
    if source is None:
        raise BackupNeedsServer(make_url(database_url), target)
    if target.exists() and (not force or target.samefile(source)):
        raise BackupExists(target)
    try:
        with atomic_path(target) as partial:
            _copy(source, partial)
            _check(source, partial)
            return partial.stat().st_size
    except (OSError, sqlite3.OperationalError) as error:
        raise BackupFailed(target, error) from None
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(source, [str(error)]) from None


def _check(source: Path, copy: Path) -> None:
    if damage := find_damage(copy):
        raise BackupDamaged(source, damage)


def _copy(source: Path, target: Path) -> None:
    target.touch(exist_ok=False)
    with contextlib.closing(open_existing(source)) as ours, contextlib.closing(open_existing(target)) as theirs:
        # One read transaction for all steps: otherwise each write of the service would restart the copy.
        ours.execute("BEGIN")
        ours.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        ours.backup(theirs, pages=_PAGES_A_STEP)
        ours.execute("ROLLBACK")
        # Make the copy one file, without a write-ahead log.
        theirs.execute("PRAGMA journal_mode=DELETE")
