"""Deletes and counts files. Safe to repeat, to interrupt, and in several processes at once."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from humanize import naturalsize

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Freed:
    """Number and bytes of deleted files."""

    files: int = 0
    size: int = 0

    def __add__(self, other: "Freed") -> "Freed":
        return Freed(self.files + other.files, self.size + other.size)

    def __str__(self) -> str:
        return f"{count_of(self.files, 'file')} ({naturalsize(self.size)})"


def delete_file(path: Path, *, older_than: float = 0.0) -> Freed:
    """Delete the file, unless it was written in the last `older_than` seconds by this machine's clock.

    A missing file, or one that cannot be deleted, is not counted; the latter is logged.
    """
    try:
        found = path.stat(follow_symlinks=False)
        if older_than and time.time() - found.st_mtime < older_than:
            return Freed()
        path.unlink()
    except FileNotFoundError:
        return Freed()
    except OSError as error:
        _log.warning("%s cannot be deleted: %s", path, error)
        return Freed()
    return Freed(1, found.st_size)


def count_of(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
