"""A backup of the database and of the service's files, while it runs."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import make_url, text

from app.backup.contents import DATABASE_FILE, FILES_FOLDER, MANIFEST, ROWS_FOLDER, BackedUpFile, Manifest, folders_of
from app.backup.copying import copy_hashed, regular_files
from app.backup.errors import BackupExists, BackupFailed
from app.backup.rows import write_rows
from app.backup.sqlite_copy import back_up
from app.database import Database
from app.finetune.atomic import atomic_folder, is_partial
from app.settings import Settings


def back_up_all(settings: Settings, target: Path) -> Manifest:
    """Write the folder `target`, which appears once it is whole. Return what it holds.

    The database comes first: files are written before their rows, so the copy has every file that it names, unless
    retention deletes one meanwhile. Raises BackupExists, DatabaseMissing, BackupDamaged and BackupFailed.
    """
    if target.exists():
        raise BackupExists(target)
    try:
        with atomic_folder(target) as folder:
            folder.chmod(0o700)
            manifest = _back_up_database(settings, folder)
            for name, source in folders_of(settings).items():
                manifest.files.extend(_copy_files(source, folder, f"{FILES_FOLDER}/{name}", manifest.left_out))
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))
            return manifest
    except OSError as error:
        raise BackupFailed(target, error) from None


def _back_up_database(settings: Settings, folder: Path) -> Manifest:
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    sqlite = make_url(settings.database_url).get_backend_name() == "sqlite"
    if sqlite:
        back_up(settings.database_url, folder / DATABASE_FILE)
        (folder / DATABASE_FILE).chmod(0o600)
        database = Database(f"sqlite:///{folder / DATABASE_FILE}")
    else:
        (folder / ROWS_FOLDER).mkdir(mode=0o700)
        database = Database(settings.database_url)
    try:
        with database.engine.connect() as connection:
            tables = [] if sqlite else write_rows(connection, folder / ROWS_FOLDER)
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    finally:
        database.close()
    written = [folder / DATABASE_FILE] if sqlite else [folder / ROWS_FOLDER / f"{table}.jsonl" for table in tables]
    return Manifest(
        version=version("edgeface-finetune"),
        made_at=made_at,
        dialect="sqlite" if sqlite else "postgresql",
        revision=revision,
        tables=tables,
        files=[_as_written(path, folder) for path in written],
    )


def _as_written(path: Path, folder: Path) -> BackedUpFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return BackedUpFile(path=path.relative_to(folder).as_posix(), size=path.stat().st_size, sha256=digest)


def _copy_files(source: Path, folder: Path, name: str, left_out: list[str]) -> Iterator[BackedUpFile]:
    for path in regular_files(source, left_out):
        relative = path.relative_to(source)
        if is_partial(relative):
            continue  # being written: no row names it
        try:
            size, sha256 = copy_hashed(path, folder / name / relative)
        except FileNotFoundError:
            continue  # retention deleted it
        yield BackedUpFile(path=f"{name}/{relative.as_posix()}", size=size, sha256=sha256)
