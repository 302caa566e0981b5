"""Atomic writes: a file or folder appears under its final name only once all of it is on the disk.

The content is written beside the final name as `.NAME.XXXXXXXX.partial`, synced, renamed, and the folder is synced.
A process that is killed leaves at most such a partial file; app/leftovers.py and app/prepared_faces.py recognise it.
"""

import errno
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_file(path: Path, before_rename: Callable[[], None] = lambda: None) -> Iterator[io.BufferedWriter]:
    """Open a partial file for writing; rename it to `path` when the block ends, delete it when the block raises.

    `before_rename` runs after the sync and may raise. An existing `path` is replaced. Raises OSError.
    """
    with atomic_path(path, before_rename) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path, before_rename: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """As `atomic_file`, for code that opens the file itself: yields the path of the partial file."""
    partial = partial_path(path)
    try:
        yield partial
        sync(partial)
        before_rename()
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a partial folder; rename it to `path` when the block ends, delete it when the block raises.

    It has one name, so that the next call deletes what a killed process left. Raises OSError, also where `path` exists
    and is not empty.
    """
    partial = path.with_name(f".{path.name}.folder.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.sync()  # one call for all files: an fsync each takes minutes for 100,000 images
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _sync_folder(path.parent)


def partial_path(path: Path) -> Path:
    """A new name beside `path` for its partial file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def partial_files(folder: Path, name: str) -> list[Path]:
    """The partial files of `name` (a glob pattern): those of killed processes, and those being written now."""
    return sorted(folder.glob(f".{name}.*.partial"))


def is_partial(path: Path) -> bool:
    """Whether the path is that of a partial file or folder, or lies in one."""
    return any(name.startswith(".") and name.endswith(".partial") for name in path.parts)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Sync the names in a folder, on file systems that can."""
    try:
        sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
