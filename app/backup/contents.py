"""What a backup folder holds: `manifest.json`, the database, and the files below `files/`."""

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, Field

from app.settings import Settings

MANIFEST = "manifest.json"
DATABASE_FILE = "database.sqlite"
ROWS_FOLDER = "rows"
FILES_FOLDER = "files"

Dialect = Literal["sqlite", "postgresql"]


class BackedUpFile(BaseModel):
    """`path` is relative to the backup folder, with `/`."""

    path: str
    size: int
    sha256: str


class Manifest(BaseModel):
    """Written last. `tables` is the order in which rows can be inserted, empty for SQLite."""

    format: Literal[1] = 1
    version: str = Field(description="Version of the service.")
    made_at: str
    dialect: Dialect
    revision: str = Field(description="Revision of the schema.")
    tables: list[str] = []
    files: list[BackedUpFile] = []
    left_out: list[str] = Field([], description="Links and other names that are no regular files.")


def folders_of(settings: Settings) -> dict[str, Path]:
    """Return the folders whose files belong to a backup, by their names in it.

    Datasets and weights only where they lie in VAR_DIR: others are the user's own.
    """
    folders = {name.removesuffix("_dir"): value for name, value in settings if name in ("artifacts_dir", "uploads_dir")}
    for name in ("datasets_dir", "weights_dir"):
        folder: Path = getattr(settings, name)
        if folder.is_relative_to(settings.var_dir):
            folders[name.removesuffix("_dir")] = folder
    return folders


def is_plain(path: str) -> bool:
    """Return whether a manifest's path stays in the backup folder."""
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and "\\" not in path and "\0" not in path
