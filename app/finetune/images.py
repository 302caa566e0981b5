"""Read images: the only code that opens, decodes and converts an image file. It needs Pillow, not torch.

Everything that cannot be read raises UnreadableImages, which names the file and the reason.
"""

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from app.finetune.errors import UnreadableImages

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})

_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""Raised by Pillow for a file that is not a complete image; OSError also for one that cannot be opened."""


def read_rgb(path: Path) -> Image.Image:
    """Open and decode the image in a file: `decode_rgb(path, read_bytes(path))`. Raises UnreadableImages."""
    return decode_rgb(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The content of an image file. Raises UnreadableImages where it cannot be opened."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def decode_rgb(path: Path, content: bytes) -> Image.Image:
    """Decode the content of `path`: RGB, turned upright by its EXIF orientation; 16-bit grey is scaled, not clipped.

    Raises UnreadableImages.
    """
    try:
        with Image.open(io.BytesIO(content)) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                image = image.convert("I").point(lambda value: value / 256).convert("L")
            return image.convert("RGB")
    except _PILLOW_ERRORS as error:
        raise _unreadable(path, error) from None


def find_unreadable(paths: Iterable[Path], threads: int = 8) -> dict[Path, str]:
    """Decode every image; return the reason for each file that cannot be read."""
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        return {path: reason for reasons in pool.map(_reasons, paths) for path, reason in reasons.items()}


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


def _unreadable(path: Path, error: Exception) -> UnreadableImages:
    reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
    return UnreadableImages({path: reason})
