"""Image files of every format, made in memory."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()

SIZE = (24, 20)
"""Width and height."""


def picture() -> npt.NDArray[np.uint8]:
    """Grey, [20, 24], smooth, from 0 to 255."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    values = np.cos(x / 5.0) * np.sin(y / 4.0 + 1) + 0.02 * x
    values = (values - values.min()) / np.ptp(values)
    levels: npt.NDArray[np.uint8] = (values * 255).round().astype(np.uint8)
    return levels


def colour_picture() -> npt.NDArray[np.uint8]:
    """RGB, [20, 24, 3], smooth, each channel from 0 to 255."""
    grey = picture()
    return np.dstack([grey, grey[::-1], grey[:, ::-1]])


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    """The content of a file of this format, as Pillow calls it."""
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def tiff_of(values: npt.NDArray[Any]) -> bytes:
    """A TIFF file with exactly these values [H, W]: float32, int32 or uint16."""
    return encoded(Image.fromarray(values), "TIFF")


def files_of_each_format() -> dict[str, tuple[bytes, int]]:
    """Content by a name with its suffix, and by how many levels its pixels may differ from the colour picture."""
    image = Image.fromarray(colour_picture())
    return {
        "a.png": (encoded(image, "PNG"), 0),
        "a.jpg": (encoded(image, "JPEG", quality=95, subsampling=0), 12),
        "a.jp2": (encoded(image, "JPEG2000"), 0),
        "a.webp": (encoded(image, "WEBP", lossless=True), 0),
        "a.bmp": (encoded(image, "BMP"), 0),
        "a.tif": (encoded(image, "TIFF"), 0),
        "lzw.tif": (encoded(image, "TIFF", compression="tiff_lzw"), 0),
        "a.ppm": (encoded(image, "PPM"), 0),
        "a.gif": (encoded(image.quantize(256), "GIF"), 40),
        "a.avif": (encoded(image, "AVIF", quality=100, subsampling="4:4:4"), 8),
        "a.heic": (encoded(image, "HEIF", quality=100, chroma=444), 12),
    }


def png_with(image: Image.Image, *chunks: tuple[bytes, bytes], damaged_crc: bool = False) -> bytes:
    """A PNG with further chunks, of these names and contents, before its pixels."""
    content = encoded(image, "PNG")
    place = content.index(b"IDAT") - 4
    added = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ damaged_crc)
        for name, data in chunks
    )
    return content[:place] + added + content[place:]
