"""A training's files, written atomically, on a disk that may be full."""

import errno
import hashlib
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from app.finetune.atomic import atomic_file
from app.finetune.events import WrittenFile
from app.finetune.training_errors import DiskFull
from worker.training.runtime.control import Control
from worker.training.runtime.transfers import on_cpu

_Filled = TypeVar("_Filled")

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
"""errno of a full disk and of a spent quota."""


def saved_bytes(content: Mapping[str, object]) -> memoryview:
    """The bytes that torch.save writes, with all tensors on the CPU: a copy, so that they may change afterwards."""
    buffer = io.BytesIO()
    torch.save(on_cpu(content), buffer)
    return buffer.getbuffer()


def write_whole(path: Path, bytes_: memoryview, control: Control) -> WrittenFile:
    """Write a file atomically and hash it. Raises DiskFull."""
    with ThreadPoolExecutor(1, "sha256") as pool:  # while the disk writes
        digest = pool.submit(hashlib.sha256, bytes_)
        write_bytes_whole(path, bytes_, control)
    return WrittenFile(path, bytes_.nbytes, digest.result().hexdigest())


def write_bytes_whole(path: Path, content: bytes | memoryview, control: Control) -> None:
    """Write a file atomically. Raises DiskFull."""

    def fill(file: io.BufferedWriter) -> None:
        file.write(content)

    fill_whole(path, fill, control)


def retry_when_full(write: Callable[[], _Filled], path: Path, control: Control) -> _Filled:
    """Return the result of `write`, which is called a second time where the disk is full and `control` can free space.

    Raises DiskFull, naming `path`.
    """
    try:
        return write()
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
    if control.release_space():
        try:
            return write()
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
    raise DiskFull(path)


def fill_whole(path: Path, fill: Callable[[io.BufferedWriter], _Filled], control: Control) -> _Filled:
    """Write a file atomically through `fill` and return the result of `fill`. Missing folders are made.

    Where the disk is full and `control` can free space, `fill` is called a second time. Nothing is left of a write
    that fails. Raises DiskFull.
    """
    return retry_when_full(partial(_fill_once, path, fill, control), path, control)


def _fill_once(path: Path, fill: Callable[[io.BufferedWriter], _Filled], control: Control) -> _Filled:
    control.before_write()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, control.before_write) as file:
        return fill(file)
