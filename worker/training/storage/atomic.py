"""How a file comes to be there whole, or not at all: beside its name, to the disk, then named."""

import errno
import hashlib
import io
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from app.finetune.errors import DiskFull
from app.finetune.events import WrittenFile
from worker.training.runtime.control import Control

_Filled = TypeVar("_Filled")

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""What a full disk and a spent quota say."""


def saved_bytes(content: Mapping[str, object]) -> memoryview:
    """What torch.save writes: tensors as they are now, whatever becomes of them."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer()


def write_whole(path: Path, bytes_: memoryview, control: Control) -> WrittenFile:
    """A file that a crash cannot leave half done. Raises DiskFull."""
    with ThreadPoolExecutor(1, "sha256") as beside:  # as long as the disk takes
        digest = beside.submit(hashlib.sha256, bytes_)
        write_bytes_whole(path, bytes_, control)
    return WrittenFile(path, bytes_.nbytes, digest.result().hexdigest())


def write_bytes_whole(path: Path, content: bytes | memoryview, control: Control) -> None:
    """Raises DiskFull."""

    def fill(file: io.BufferedWriter) -> None:
        file.write(content)

    fill_whole(path, fill, control)


def fill_whole(path: Path, fill: Callable[[io.BufferedWriter], _Filled], control: Control) -> _Filled:
    """A file of whatever `fill` writes, and what `fill` returns; its folder is made if need be.

    Where the disk is full and `control` can free space, all of it is tried once more, so `fill` may be called twice.
    What fails leaves no file. Raises DiskFull.
    """
    try:
        return _fill_once(path, fill, control)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
    if control.release_space():
        try:
            return _fill_once(path, fill, control)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
    raise DiskFull(path)


def partial_files(folder: Path, name: str) -> list[Path]:
    """What processes that were killed have left of a file `name` (a glob pattern), and what others write just now."""
    return sorted(folder.glob(f".{name}.*.partial"))


def _fill_once(path: Path, fill: Callable[[io.BufferedWriter], _Filled], control: Control) -> _Filled:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    control.before_write()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with beside.open("wb") as file:
            filled = fill(file)
            file.flush()
            os.fsync(file.fileno())
        control.before_write()
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return filled


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
