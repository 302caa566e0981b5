"""Copies of files with their sha256."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20
_PRIVATE = 0o600


def copy_hashed(source: Path, target: Path) -> tuple[int, str]:
    """Copy a regular file, readable by its owner only. Return its size and its sha256. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not blocking: what was a file a moment ago may be a pipe now.
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as reading:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(f"{source} is no file any more")
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as writing:
            while chunk := reading.read(_CHUNK):
                digest.update(chunk)
                writing.write(chunk)
                size += len(chunk)
    return size, digest.hexdigest()


def regular_files(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """Yield the regular files below a folder, sorted. The names of others go to `left_out`."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in (*sorted(names), *(each for each in folders if Path(parent, each).is_symlink())):
            path = Path(parent, name)
            try:
                regular = stat.S_ISREG(path.lstat().st_mode)
            except FileNotFoundError:
                continue  # deleted meanwhile
            if regular:
                yield path
            else:
                left_out.append(str(path))
