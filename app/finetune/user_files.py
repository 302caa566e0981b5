"""Open a file that belongs to a user: an image, weights, a manifest. It is the only way to the bytes of such a file.

A file that is not regular is refused before a byte of it is read: opening a named pipe without a writer waits for ever,
and reading a device can do anything.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}

_roots: tuple[Path, ...] | None = None


class FileRefused(OSError):
    """The file is not regular, too large, or outside the folders that may be read; `strerror` says which.
    `kind` is what it is instead of a regular file, in words."""

    def __init__(self, path: Path, reason: str, kind: str | None = None) -> None:
        super().__init__(0, reason, str(path))
        self.kind = kind


def confine_to(roots: Sequence[Path]) -> None:
    """From now on this process opens only files in these folders, wherever links lead. A trainer process calls it."""
    global _roots
    _roots = tuple(root.resolve() for root in roots)


def open_file(path: Path, most_bytes: int | None = None) -> BinaryIO:
    """Open a regular file for reading, without waiting. Raises OSError; FileRefused with the reason in `strerror`."""
    _refuse_special(path, os.stat(path))  # noqa: PTH116 - a device must not even be opened
    descriptor = os.open(path, _FLAGS)
    try:
        found = os.fstat(descriptor)
        _refuse_special(path, found)  # it may have been replaced since
        if most_bytes is not None and found.st_size > most_bytes:
            raise FileRefused(path, f"has {found.st_size:,} bytes, more than the {most_bytes:,} that are read")
        if _roots is not None and (real := _real_path(descriptor, path)) is not None and not _is_inside(real, _roots):
            raise FileRefused(path, OUTSIDE_REASON)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path, most_bytes: int) -> bytes:
    """Read a whole regular file. Raises OSError, as `open_file`."""
    with open_file(path, most_bytes) as file:
        return file.read(os.fstat(file.fileno()).st_size + 1)  # read(most_bytes) would make room for all of them


def kind_of_file(mode: int) -> str | None:
    """What a file with this `st_mode` is if it is not regular, in words. None: it is regular."""
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def leads_outside(path: Path, roots: Sequence[Path]) -> bool:
    """Return whether links lead a path outside all the roots, which have no link in them."""
    return not _is_inside(Path(os.path.realpath(path)), roots)


OUTSIDE_REASON = "a link that leads outside the folders that may be read"
"""Why a file is not read. Where the link leads is not for everybody who may use the service."""


def _refuse_special(path: Path, found: os.stat_result) -> None:
    if (kind := kind_of_file(found.st_mode)) is not None:
        raise FileRefused(path, f"{kind}, not a file", kind)


def _real_path(descriptor: int, path: Path) -> Path | None:
    """The path of an open file without links. None where the system does not say."""
    with suppress(OSError):
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - of the descriptor, not of the path
    with suppress(OSError):
        return Path(os.path.realpath(path))
    return None


def _is_inside(real: Path, roots: Sequence[Path]) -> bool:
    return any(real.is_relative_to(root) for root in roots)
