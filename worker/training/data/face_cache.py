"""Prepared faces, kept on disk under a name that says what they were made from, so that no training makes them twice.

`KEY.npy` holds uint8 [N, 3, 112, 112]; `KEY.json`, written after it, its sha256 and the sizes that the images had.
A training reads the array through a memory map, batch by batch: it need not fit into memory. Nothing here is needed:
whatever is missing or damaged is made again. Both files' modification time is that of their last use.
"""

import contextlib
import hashlib
import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from app.finetune.atomic import partial_files
from app.finetune.config import BICUBIC, FACE_SIZE
from worker.training.data.preprocess import RESAMPLER, Faces
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.atomic import NO_SPACE, fill_whole, write_bytes_whole
from worker.training.storage.digests import sha256_of

FORMAT_VERSION = 1

_ABANDONED_SECONDS = 3600  # a file beside that has not grown for this long belongs to a process that is gone


def prepared_key(
    images: str,
    *,
    enlargement: str = BICUBIC,
    vlr_size: int | None = None,
    precision: Literal["float32", "fp16"] = "float32",
) -> str:
    """The name of images prepared so: `images` and `enlargement` are digests as in InputDigests. Faces in fp16 are
    within MOST_LEVELS of those in float32, or are these."""
    made_from = [FORMAT_VERSION, RESAMPLER, images, enlargement, vlr_size]
    if precision != "float32":
        made_from.append(precision)
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


class PreparedFaces:
    """The folder of prepared faces, which any number of trainings may use at once: each file is named only when whole,
    and two that prepare the same write the same."""

    def __init__(self, folder: Path, control: Control) -> None:
        self._folder = folder
        self._control = control

    @profiled("prepared faces")
    def find(self, key: str, count: int) -> Faces | None:
        """The `count` faces of this key; None where they are not there, or not as they were written."""
        array, sidecar = self._paths(key)
        try:
            said = json.loads(sidecar.read_text())
            sizes = Counter({(int(width), int(height)): int(images) for width, height, images in said["sizes"]})
            if said["sha256"] != sha256_of(array, self._control) or sizes.total() != count:
                return None
            faces = _open(array, sizes)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if faces.pixels_u8.shape != (count, 3, FACE_SIZE, FACE_SIZE):
            return None
        for path in (array, sidecar):
            with contextlib.suppress(OSError):
                os.utime(path)
        return faces

    def has(self, key: str) -> bool:
        """Whether `find` will probably find faces: no content is read."""
        return all(path.is_file() for path in self._paths(key))

    @profiled("prepared faces")
    def make(self, key: str, count: int, chunks: Callable[[], Iterable[Faces]]) -> Faces:
        """Write `count` faces as `chunks()` gives them, one chunk in memory at a time. `chunks` is called again where
        the disk was full. Raises DiskFull, StopRequested and what the chunks raise."""
        array, sidecar = self._paths(key)
        self._remove_abandoned(array.name)
        sizes: Counter[tuple[int, int]] = Counter()

        def fill(file: io.BufferedWriter) -> str:
            sizes.clear()
            header = _header(count)
            _reserve(file, len(header) + count * 3 * FACE_SIZE**2)
            digest = hashlib.sha256(header)
            file.write(header)
            for faces in chunks():
                self._control.refuse_if_stopped()
                pixels = faces.pixels_u8.contiguous().numpy().data
                file.write(pixels)
                digest.update(pixels)
                sizes.update(faces.sizes)
            return digest.hexdigest()

        sha256 = fill_whole(array, fill, self._control)
        said = {"sha256": sha256, "sizes": [[*size, images] for size, images in sizes.items()]}
        write_bytes_whole(sidecar, json.dumps(said).encode(), self._control)
        return _open(array, sizes)

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.npy", self._folder / f"{key}.json"

    def _remove_abandoned(self, name: str) -> None:
        for path in partial_files(self._folder, name):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()


def _open(array: Path, sizes: Counter[tuple[int, int]]) -> Faces:
    # Copy on write: PyTorch wants memory that it might write to, and the file stays as it is all the same.
    return Faces(torch.from_numpy(np.load(array, mmap_mode="c")), sizes)


def _header(count: int) -> bytes:
    header = io.BytesIO()
    shape = (count, 3, FACE_SIZE, FACE_SIZE)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _reserve(file: io.BufferedWriter, size: int) -> None:
    """Take the space now: a full disk is better met before the work than after it."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno in NO_SPACE:  # others: a file system that cannot reserve
            raise
