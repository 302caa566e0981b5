"""Prints of images, kept beside the prepared faces, so that an image that was seen before is hashed and not decoded.

`KEY.prints` has a record for each image of a folder, in order: the file's sha256, its print, and what is wrong with its
pixels. KEY depends on the paths and on the version of the image reader; a changed image is recognised by its sha256.
The file ends with the sha256 of the records: a damaged one is ignored. Its modification time is that of its last use.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.finetune.pixel_problems import PIXEL_PROBLEMS, PixelProblem
from app.finetune.same_photo import Print
from worker.training.runtime.control import Control
from worker.training.storage.atomic import write_bytes_whole

_FORMAT_VERSION = 2
_HASH = 32  # bytes of a sha256
_RECORD = np.dtype(
    [
        ("sha256", "u1", _HASH),
        ("size", "<u4", 2),
        ("pixels", "u1", _HASH),
        ("thumbnail", "u1", 256),
        ("problem", "u1"),  # 0: none; else the place in PIXEL_PROBLEMS, counted from 1
    ]
)


@dataclass(frozen=True)
class Known:
    """What is known of an image: the sha256 (32 bytes) of its file, its print, and what is wrong with its pixels."""

    sha256: bytes
    print: Print
    problem: PixelProblem | None


Prints = Sequence[Known]
"""Of each image of a folder, in order."""


class PrintCache:
    """The prints in a folder that trainings share, of images as this version of the image reader reads them."""

    def __init__(self, folder: Path, control: Control, reader: int) -> None:
        self._folder = folder
        self._control = control
        self._reader = reader

    def find(self, paths: Sequence[Path]) -> Prints | None:
        """The prints of the last images with these paths; None where there are none."""
        file = self._file(paths)
        try:
            content = file.read_bytes()
            records, digest = content[:-_HASH], content[-_HASH:]
            if hashlib.sha256(records).digest() != digest or len(records) != len(paths) * _RECORD.itemsize:
                return None
        except OSError:
            return None
        with suppress(OSError):  # a file of another user
            os.utime(file)
        return [_loaded(record) for record in np.frombuffer(records, _RECORD)]

    def write(self, paths: Sequence[Path], prints: Prints) -> None:
        """Raises DiskFull."""
        records = np.zeros(len(prints), _RECORD)
        for record, known in zip(records, prints, strict=True):
            size, pixels = known.print.digest[:-_HASH], known.print.digest[-_HASH:]
            record["sha256"] = np.frombuffer(known.sha256, np.uint8)
            record["size"] = [int(number) for number in size.decode().split("x")]
            record["pixels"] = np.frombuffer(pixels, np.uint8)
            record["thumbnail"] = np.frombuffer(known.print.thumbnail, np.uint8)
            record["problem"] = 0 if known.problem is None else PIXEL_PROBLEMS.index(known.problem) + 1
        content = records.tobytes()
        write_bytes_whole(self._file(paths), content + hashlib.sha256(content).digest(), self._control)

    def _file(self, paths: Sequence[Path]) -> Path:
        named = ["prints", _FORMAT_VERSION, self._reader, *(os.fsencode(path.absolute()).hex() for path in paths)]
        return self._folder / f"{hashlib.sha256(json.dumps(named).encode()).hexdigest()}.prints"


def _loaded(record: np.void) -> Known:
    width, height = (int(number) for number in record["size"])
    digest = f"{width}x{height} ".encode() + record["pixels"].tobytes()
    problem = PIXEL_PROBLEMS[record["problem"] - 1] if record["problem"] else None
    return Known(record["sha256"].tobytes(), Print(digest, record["thumbnail"].tobytes()), problem)
