"""Writes images without anything but their pixels: no EXIF, no GPS position, no serial number, no profile, no text."""

import io
from pathlib import Path

from PIL import Image


def plain(image: Image.Image) -> Image.Image:
    """Return the image without what its file said beside the pixels."""
    copied = image.copy()
    copied.info = {}
    return copied


def plain_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    plain(image).save(file, "PNG")
    return file.getvalue()


def write_plain_png(image: Image.Image, path: Path) -> None:
    path.write_bytes(plain_png(image))
