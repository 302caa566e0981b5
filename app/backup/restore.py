"""Brings back what `back_up_all` wrote, into folders and a database that are empty."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from alembic import command
from pydantic import ValidationError
from sqlalchemy import make_url, text

from app.backup.contents import DATABASE_FILE, FILES_FOLDER, MANIFEST, ROWS_FOLDER, Manifest, folders_of, is_plain
from app.backup.copying import copy_hashed
from app.backup.errors import BackupInvalid, RestoreNotEmpty, RestoreOtherDatabase
from app.backup.rows import has_rows, insert_rows
from app.database import Database, alembic_config
from app.finetune.atomic import sync
from app.settings import Settings

_PARTIAL = ".restoring"
"""In each folder that is restored, until all of its files are there."""

_KEYS = "SELECT key FROM artifact"
_FORGET = "DELETE FROM artifact WHERE key = :key"


def restore(settings: Settings, backup: Path) -> Manifest:
    """Restore the service, which must not run. Every file is compared with its sha256 before any is in its place, and
    the database comes last: a restoration that was killed can be repeated.

    Raises BackupInvalid, RestoreNotEmpty, RestoreOtherDatabase and OSError.
    """
    manifest = _read_manifest(backup)
    url = make_url(settings.database_url)
    if url.get_backend_name() != manifest.dialect:
        raise RestoreOtherDatabase(manifest.dialect, url.get_backend_name())
    folders = folders_of(settings)
    _refuse_unknown(manifest, backup, set(folders))
    targets = {settings.var_dir, *folders.values()}
    _require_empty(settings, targets)
    partial = {name: folder / _PARTIAL for name, folder in folders.items()}
    database = settings.var_dir / _PARTIAL
    try:
        for place in (database, *partial.values()):
            shutil.rmtree(place, ignore_errors=True)
        _copy_all(
            manifest, backup, {**{f"{FILES_FOLDER}/{name}": place for name, place in partial.items()}, "": database}
        )
        for folder, place in zip(folders.values(), partial.values(), strict=True):
            _put_in_place(place, folder)
        if manifest.dialect == "sqlite":
            with closing(sqlite3.connect(database / DATABASE_FILE)) as copy, copy:
                for key in _keys_without_file((row[0] for row in copy.execute(_KEYS)), settings):
                    copy.execute(_FORGET, {"key": key})
            _put_database_in_place(database / DATABASE_FILE, Path(url.database or ""))
        else:
            _insert(settings, database / ROWS_FOLDER, manifest)
    finally:
        for place in (database, *partial.values()):
            shutil.rmtree(place, ignore_errors=True)
    return manifest


def _read_manifest(backup: Path) -> Manifest:
    try:
        return Manifest.model_validate_json((backup / MANIFEST).read_bytes())
    except OSError as error:
        raise BackupInvalid(backup, [f"{MANIFEST} cannot be read: {error.strerror}"]) from None
    except ValidationError:
        raise BackupInvalid(backup, [f"{MANIFEST} is damaged, or of a later version"]) from None


def _refuse_unknown(manifest: Manifest, backup: Path, names: set[str]) -> None:
    rows = {f"{ROWS_FOLDER}/{table}.jsonl" for table in manifest.tables}
    known = {DATABASE_FILE} if manifest.dialect == "sqlite" else rows
    paths = {file.path for file in manifest.files}
    problems = [f"{path} is missing" for path in sorted(known - paths)]
    folders = tuple(f"{FILES_FOLDER}/{name}/" for name in names)
    unknown = [path for path in sorted(paths - known) if not (is_plain(path) and path.startswith(folders))]
    problems += [f"{path} has no place here" for path in unknown]
    if problems:
        raise BackupInvalid(backup, problems)


def _require_empty(settings: Settings, folders: set[Path]) -> None:
    """Folders of folders may exist: the service makes them at its start. A file or a database with rows may not."""
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*")):
            if not path.is_dir() and _PARTIAL not in path.parts:
                raise RestoreNotEmpty(path.parent)
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        path = Path(make_url(settings.database_url).database or "")
        if path.exists():
            raise RestoreNotEmpty(path)
        return
    database = Database(settings.database_url)
    try:
        with database.engine.connect() as connection:
            if has_rows(connection):
                raise RestoreNotEmpty("the database")
    finally:
        database.close()


def _copy_all(manifest: Manifest, backup: Path, places: dict[str, Path]) -> None:
    """Copy each file to the place of its folder's name; those of the database have the name ''."""
    damaged = []
    for file in manifest.files:
        name = "/".join(file.path.split("/")[:2]) if file.path.startswith(f"{FILES_FOLDER}/") else ""
        target = places[name] / file.path.removeprefix(name).lstrip("/")
        try:
            size, sha256 = copy_hashed(backup / file.path, target)
        except OSError as error:
            damaged.append(f"{file.path}: {error.strerror or error}")
            continue
        if (size, sha256) != (file.size, file.sha256):
            damaged.append(f"{file.path} has other bytes than when it was written")
    if damaged:
        raise BackupInvalid(backup, damaged)


def _put_in_place(partial: Path, folder: Path) -> None:
    """Move what is in `partial` up to `folder`, which may be the root of a volume and cannot be replaced."""
    if not partial.is_dir():
        return
    for child in sorted(partial.iterdir()):
        target = folder / child.name
        if child.is_dir():
            _remove_empty_folders(target)
        child.replace(target)
    sync(folder)


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else ():
        with suppress(OSError):
            path.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _keys_without_file(keys: Iterable[str], settings: Settings) -> list[str]:
    """States that were replaced while the backup was made. Their jobs resume from the state that replaced them, or from
    the one before."""
    return [key for key in keys if not (settings.artifacts_dir / key).is_file()]


def _put_database_in_place(copy: Path, path: Path) -> None:
    sync(copy)
    path.parent.mkdir(parents=True, exist_ok=True)
    if copy.stat().st_dev == path.parent.stat().st_dev:
        copy.replace(path)
    else:
        shutil.copyfile(copy, path)
        sync(path)
    sync(path.parent)


def _insert(settings: Settings, rows: Path, manifest: Manifest) -> None:
    database = Database(settings.database_url)
    try:
        with database.engine.begin() as connection:
            command.upgrade(alembic_config(connection), manifest.revision)
            insert_rows(connection, rows, manifest.tables)
            for key in _keys_without_file(connection.execute(text(_KEYS)).scalars().all(), settings):
                connection.execute(text(_FORGET), {"key": key})
    finally:
        database.close()
