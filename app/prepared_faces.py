"""Prepared faces on the disk, in the format of worker/training/data/face_cache.py: their age and their damage; and
prints, in that of print_cache.py. None of them is needed: a job makes a deleted file again."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.deletion import Freed, delete_file
from app.finetune.config import FACE_SIZE
from app.leftovers import ABANDONED_SECONDS

_FACE_BYTES = 3 * FACE_SIZE**2
_WHOLE = re.compile(r"([0-9a-f]{64})\.(npy|json)")
_PRINTS = re.compile(r"[0-9a-f]{64}\.prints")
_ASIDE = re.compile(r"\.[0-9a-f]{64}\.(npy|json|prints)\..+")


@dataclass(frozen=True)
class PreparedFaces:
    """`array` holds the pixels; `sidecar`, written after it, says what they are. One of them may be missing."""

    array: Path
    sidecar: Path

    def idle_seconds(self) -> float:
        """Since the last use, by this machine's clock; infinite where there is nothing any more."""
        return time.time() - max((mtime for path in (self.sidecar, self.array) if (mtime := _mtime(path))), default=0)

    def damage(self, *, deep: bool = False) -> str | None:
        """What is wrong with them, in words; `deep` reads every byte. None too while they are being written."""
        if not self.sidecar.exists():
            return "they were never finished" if self.idle_seconds() > ABANDONED_SECONDS else None
        try:
            said = json.loads(self.sidecar.read_text())
            count, sha256 = sum(images for *_, images in said["sizes"]), str(said["sha256"])
        except FileNotFoundError:
            return None  # deleted just now
        except (ValueError, KeyError, TypeError):
            return f"{self.sidecar.name} is damaged"
        try:
            expected, size = _header_bytes(self.array) + count * _FACE_BYTES, self.array.stat().st_size
            if size != expected:
                return f"{self.array.name} has {size} bytes, not {expected}"
            if deep and sha256_of(self.array) != sha256:
                return f"{self.array.name} has other bytes than those that were written"
        except FileNotFoundError:
            return f"{self.array.name} is gone" if self.sidecar.exists() else None
        return None

    def delete(self) -> Freed:
        """The sidecar first: without it nobody takes the array for whole."""
        return delete_file(self.sidecar) + delete_file(self.array)


def find_prepared(folder: Path) -> Iterator[PreparedFaces]:
    keys = {found[1] for path in _entries(folder) if (found := _WHOLE.fullmatch(path.name))}
    for key in sorted(keys):
        yield PreparedFaces(folder / f"{key}.npy", folder / f"{key}.json")


def find_abandoned(folder: Path) -> list[Path]:
    """Files that processes which are gone were writing."""
    now = time.time()
    aside = [path for path in _entries(folder) if _ASIDE.fullmatch(path.name)]
    return [path for path in aside if (mtime := _mtime(path)) and now - mtime > ABANDONED_SECONDS]


def clean_prepared(folder: Path, keep_seconds: float) -> Freed:
    """Delete the faces and prints not used for `keep_seconds`, at least an hour: a training may be opening them."""
    freed = sum((delete_file(path) for path in find_abandoned(folder)), start=Freed())
    for faces in find_prepared(folder):
        useful = keep_seconds if faces.sidecar.exists() else 0.0
        if faces.idle_seconds() > max(useful, ABANDONED_SECONDS):
            freed += faces.delete()
    for path in _entries(folder):
        if _PRINTS.fullmatch(path.name):
            freed += delete_file(path, older_than=max(keep_seconds, ABANDONED_SECONDS))
    return freed


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _header_bytes(array: Path) -> int:
    """Length of what a .npy file (format 1.0) has before its pixels."""
    with array.open("rb") as file:
        start = file.read(10)
    return 10 + int.from_bytes(start[8:], "little")


def _mtime(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
