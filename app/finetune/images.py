"""Read images: the only way from an image file to pixels. It needs Pillow, not torch.

The checks of a dataset, its build and the training read through the same function. Whatever the bytes of a file, it
returns pixels or raises UnreadableImages, which names the file and the reason. `image_limits` says how large an image
may be. Where even that is more memory than the machine has free, it raises TooLittleMemory.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from app.finetune.errors import UnreadableImages, printable
from app.finetune.image_decoder import decode, open_image, reason_of
from app.finetune.image_formats import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from app.finetune.training_errors import TooLittleMemory
from app.finetune.user_files import read_file

MOST_BYTES = 300_000_000
"""The largest image file that is read: more than any image of `image_limits.MOST_PIXELS` pixels of 8 bits takes."""

READER_VERSION = 2
"""Grows with every change of the pixels that some file is read as. It is part of the digests of a training's inputs,
and so of the names of its prepared faces. A training that version 1 began is read by version 1 to its end."""


def read_rgb(path: Path) -> Image.Image:
    """Open and decode the image in a file: `decode_rgb(path, read_bytes(path))`. Raises UnreadableImages."""
    return decode_rgb(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The content of an image file. Raises UnreadableImages where it cannot be opened, or TooLittleMemory."""
    try:
        return read_file(path, MOST_BYTES)
    except MemoryError:
        raise TooLittleMemory(path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UnreadableImages({path: f"cannot be opened: {printable(reason or error)}"}) from None


def decode_rgb(path: Path, content: bytes, reader: int = READER_VERSION) -> Image.Image:
    """Decode the content of `path`: RGB, turned upright by its EXIF orientation where that can be read.

    Any of `image_formats.IMAGE_FORMATS`, whatever the suffix; of several frames the first. `image_values` says how
    deep, floating-point and transparent values become RGB. Damaged metadata do no harm to whole pixels. `reader` is 1
    for the pixels of versions 0.1 and 0.2. Raises UnreadableImages or TooLittleMemory.
    """
    try:
        return decode(content, reader)
    except MemoryError:
        raise TooLittleMemory(path) from None
    except Exception as error:  # Pillow raises anything for damaged files: this is the boundary.
        raise _unreadable(path, content, error) from None


def count_frames(content: bytes) -> int:
    """The number of images in the content of a file, of which `decode_rgb` reads the first; 1 where that is unknown.

    The further pictures in a phone's JPEG (MPO), such as depth, do not count.
    """
    try:
        with open_image(content) as opened:
            return 1 if opened.format in ("JPEG", "MPO") else int(getattr(opened, "n_frames", 1))
    except Exception:
        return 1


def find_unreadable(paths: Iterable[Path], threads: int = 8) -> dict[Path, str]:
    """Decode every image; return the reason for each file that cannot be read."""
    unreadable: dict[Path, str] = {}
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for reasons in pool.map(_reasons, paths):
            unreadable |= reasons
    return unreadable


def refuse_unreadable(paths: Iterable[Path], threads: int = 8) -> None:
    """Decode every image. Raises UnreadableImages naming all files that cannot be read."""
    if reasons := find_unreadable(paths, threads):
        raise UnreadableImages(reasons)


def _reasons(path: Path) -> dict[Path, str]:
    try:
        read_rgb(path)
    except UnreadableImages as error:
        return error.reasons
    return {}


def _unreadable(path: Path, content: bytes, error: Exception) -> UnreadableImages:
    return UnreadableImages({path: printable(reason_of(content, error))})
