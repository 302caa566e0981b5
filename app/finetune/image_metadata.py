"""Metadata of image files: the orientation, and files without it, for whole pixels behind damaged metadata.

Pillow parses metadata before or while it decodes, and raises where they are damaged. `without_metadata` removes from a
file everything that its pixels do not need, so that a second attempt decodes them.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image
from PIL.ExifTags import Base

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_NEEDED: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_JPEG_NEEDED: Final = (0xE0, 0xEE)  # JFIF and Adobe: they say how the colours are stored
_WEBP_METADATA: Final = frozenset({b"EXIF", b"XMP ", b"ICCP"})
_WEBP_FLAGS: Final = 0x20 | 0x08 | 0x04  # ICC, EXIF, XMP
_EXIF_ITEM: Final = re.compile(rb"(infe.{8,10}?)Exif", re.DOTALL)  # in AVIF and HEIC
_TIFF_NEEDED: Final = frozenset(
    {
        *(256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284),  # baseline
        *(292, 293, 317, 320, 322, 323, 324, 325, 332, 338, 339, 347),  # coding, palette, tiles, samples
        *range(512, 522),  # old JPEG
        *range(529, 533),  # YCbCr
    }
)

_TRANSPOSED: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Bare:
    """A file without its metadata; `exif` of them, where it was found."""

    content: bytes
    exif: bytes | None = None


def orientation_of(opened: Image.Image) -> int:
    """The EXIF orientation of a loaded image, 1..8; 1 where there is none or its metadata are damaged."""
    try:
        return _orientation(opened.getexif())
    except MemoryError:
        raise
    except Exception:  # Whatever Pillow's parser raises: the pixels are whole without it.
        return 1


def orientation_in(exif: bytes | None) -> int:
    """The orientation in the EXIF data of a file, 1..8; 1 where there is none or they are damaged."""
    if exif is None:
        return 1
    try:
        parsed = Image.Exif()
        parsed.load(exif)
        return _orientation(parsed)
    except MemoryError:
        raise
    except Exception:
        return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned by its orientation, 1..8."""
    return image if orientation == 1 else image.transpose(_TRANSPOSED[orientation])


def without_metadata(content: bytes) -> Bare | None:
    """The same file without what its pixels do not need; None where nothing can be removed."""
    bare = _bare(content)
    return None if bare is None or bare.content == content else bare


def _orientation(exif: Image.Exif) -> int:
    found = exif.get(Base.Orientation, 1)
    return found if found in _TRANSPOSED else 1


def _bare(content: bytes) -> Bare | None:
    if content.startswith(_PNG):
        return _bare_png(content)
    if content.startswith(b"\xff\xd8"):
        return _bare_jpeg(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _bare_webp(content)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _bare_tiff(content)
    if content[4:8] == b"ftyp":
        return Bare(_EXIF_ITEM.sub(rb"\1skip", content))
    return None


def _bare_png(content: bytes) -> Bare:
    kept, exif, place = [_PNG], None, len(_PNG)
    while place + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        if name in _PNG_NEEDED:
            kept.append(content[place : place + 12 + length])
        elif name == b"eXIf":
            exif = content[place + 8 : place + 8 + length]
        place += 12 + length
    return Bare(b"".join(kept), exif)


def _bare_jpeg(content: bytes) -> Bare:
    kept, exif, place = [content[:2]], None, 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] not in (0xDA, 0xFF):
        marker, length = struct.unpack_from(">xBH", content, place)
        segment = content[place : place + 2 + length]
        if (0xE0 <= marker <= 0xEF or marker == 0xFE) and marker not in _JPEG_NEEDED:
            exif = segment[4:] if segment[4:10] == b"Exif\0\0" else exif
        else:
            kept.append(segment)
        place += 2 + length
    return Bare(b"".join(kept) + content[place:], exif)


def _bare_webp(content: bytes) -> Bare:
    kept, exif = bytearray(), None
    for name, chunk in _riff_chunks(content):
        if name == b"EXIF":
            exif = chunk[8:]
        if name == b"VP8X":
            chunk = chunk[:8] + bytes([chunk[8] & ~_WEBP_FLAGS]) + chunk[9:]
        if name not in _WEBP_METADATA:
            kept += chunk
    return Bare(b"RIFF" + struct.pack("<I", 4 + len(kept)) + b"WEBP" + kept, exif)


def _riff_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 12
    while place + 9 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        size = 8 + length + length % 2
        yield name, content[place : place + size]
        place += size


def _bare_tiff(content: bytes) -> Bare | None:
    """With only the needed tags in the first directory, which is followed by no other."""
    order = "<" if content[:2] == b"II" else ">"
    try:
        (directory,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, directory)
    except struct.error:
        return None
    places = range(directory + 2, min(directory + 2 + 12 * count, len(content) - 11), 12)
    entries = [content[place : place + 12] for place in places]
    kept = [entry for entry in entries if struct.unpack_from(f"{order}H", entry)[0] in _TIFF_NEEDED]
    replaced = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    end = directory + len(replaced)
    return Bare(content[:directory] + replaced + content[end:]) if len(kept) < len(entries) else None
