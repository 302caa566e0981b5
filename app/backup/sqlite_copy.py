"""Copy an SQLite database consistently while the service runs."""

import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy import make_url

from app.backup.errors import BackupDamaged, BackupExists, BackupFailed, BackupNeedsServer
from app.finetune.atomic import atomic_path
from app.sqlite_file import find_damage, open_existing, sqlite_path

_PAGES_A_STEP = 1024


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
