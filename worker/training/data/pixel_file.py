"""Decoded images of any size, kept in a temporary file from their decoding until they are enlarged."""

import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from worker.training.runtime.control import Control
from worker.training.storage.atomic import retry_when_full

Pixels = npt.NDArray[np.uint8]
"""An image, uint8 [H, W, 3], RGB."""


@dataclass(frozen=True)
class KeptImage:
    """`pixels` as they were kept; `size` (width, height) of the image in the file; whether `pixels` are a face
    already, 112 x 112."""

    pixels: Pixels
    size: tuple[int, int]
    is_face: bool


@dataclass(frozen=True)
class _Place:
    start: int
    shape: tuple[int, ...]
    size: tuple[int, int]
    is_face: bool


class PixelFile:
    """Images in the order in which they were appended. The file has no name: nothing is left of it when the process
    ends, in whatever way."""

    def __init__(self, folder: Path, control: Control) -> None:
        self._folder = folder
        self._control = control
        folder.mkdir(parents=True, exist_ok=True)
        # Not a SpooledTemporaryFile: it loses its content where the disk is full when it moves there.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - see close
        self._finalizer = weakref.finalize(self, self._file.close)
        self._places: list[_Place] = []
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    def append(self, image: KeptImage) -> None:
        """Raises DiskFull."""
        content = np.ascontiguousarray(image.pixels).data.cast("B")
        retry_when_full(partial(self._write, content), self._folder, self._control)
        self._places.append(_Place(self._end, image.pixels.shape, image.size, image.is_face))
        self._end += len(content)

    def read(self, places: range) -> Sequence[KeptImage]:
        """The images at these places."""
        return [self._read(self._places[place]) for place in places]

    def close(self) -> None:
        """Free the space now; otherwise it is freed with the last reference to this object."""
        self._finalizer()

    def _write(self, content: memoryview) -> None:
        self._file.seek(self._end)
        self._file.write(content)
        self._file.flush()

    def _read(self, place: _Place) -> KeptImage:
        self._file.seek(place.start)
        content = self._file.read(int(np.prod(place.shape)))
        return KeptImage(np.frombuffer(content, np.uint8).reshape(place.shape), place.size, place.is_face)
