"""Files of jobs: one folder per job and attempt. Rows hold keys relative to the root."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from app.deletion import delete_file
from app.finetune.atomic import atomic_path
from app.jobs.errors import StoredFileMissing, StoredFileUnreadable

RESERVATION = ".reserved"
"""File in an attempt's folder that reserves disk space for its next write."""


def copy_whole(source: Path, target: Path) -> Path:
    """Copy a file atomically: `target` appears, or is replaced, once the whole file is on the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial:
        shutil.copyfile(source, partial)
    return target


class Artifacts:
    """The folder that API and workers share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def attempt_directory(self, job_id: str, attempt: int) -> Path:
        """The folder that only this attempt writes to."""
        return self._root / job_id / f"attempt-{attempt}"

    def exists(self, key: str) -> bool:
        return (self._root / key).is_file()

    def delete_reservations(self, job_id: str) -> None:
        """Delete the reservations of dead attempts. Call it for a job that no worker holds."""
        for path in (self._root / job_id).glob(f"attempt-*/{RESERVATION}"):
            path.unlink(missing_ok=True)

    def is_whole(self, key: str, size: int, sha256: str) -> bool:
        """Return whether the file exists with this size and sha256."""
        path = self._root / key
        if not path.is_file() or path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files that no longer have a row. Failures are left to the cleaner."""
        for key in keys:
            delete_file(self._root / key)

    def key_of(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def path_of(self, key: str) -> Path:
        """Return the path of a key. Raises StoredFileMissing or StoredFileUnreadable."""
        path = self._root / key
        try:
            if path.is_file():
                return path
        except OSError as error:
            raise StoredFileUnreadable(path, error.strerror or str(error)) from None
        raise StoredFileMissing(path)
