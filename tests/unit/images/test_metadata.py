"""Whole pixels behind damaged metadata are read; orientation counts where it can be parsed."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from PIL.ExifTags import Base

from app.finetune.errors import UnreadableImages
from app.finetune.images import decode_rgb
from tests.unit.images.support import colour_picture, encoded, png_with

FILE = Path("some.file")
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}
DAMAGED_EXIF = (
    b"MM\0*",
    b"Exif\0\0MM\0*",
    b"II*\0",
    b"",
    b"\0" * 9,
    b"MM\0*\0\0\0\x08\xff\xff",
    b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01",
    b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x05\0\0\0\x1a\0\0\0\0\0\0\0up!!",
    b"MM\0*\xff\xff\xff\xff" + b"\0" * 30,
)


def image() -> Image.Image:
    return Image.fromarray(colour_picture())


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[Base.Orientation] = orientation
    return made


def decoded(content: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(decode_rgb(FILE, content))


def turned(orientation: int) -> npt.NDArray[np.uint8]:
    upright = colour_picture()
    if orientation >= 5:
        upright = upright.transpose(1, 0, 2)
    turns: dict[int, Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]] = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x,
        6: lambda x: x[:, ::-1],
        7: lambda x: x[::-1, ::-1],
        8: lambda x: x[::-1],
    }
    return turns[orientation](upright)


def jpeg_with(marker: int, data: bytes) -> bytes:
    content = encoded(image(), "JPEG", quality=95)
    return content[:2] + struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data + content[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", LOSSLESS)
def test_orientation_is_applied(format_: str, orientation: int) -> None:
    content = encoded(image(), format_, exif=exif(orientation), **LOSSLESS[format_])
    assert np.array_equal(decoded(content), turned(orientation))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not_is_ignored(orientation: int) -> None:
    assert np.array_equal(decoded(encoded(image(), "PNG", exif=exif(orientation))), colour_picture())


@pytest.mark.parametrize("damaged", DAMAGED_EXIF)
def test_damaged_exif_is_ignored(damaged: bytes) -> None:
    assert np.array_equal(decoded(png_with(image(), (b"eXIf", damaged))), colour_picture())
    content = encoded(image(), "WEBP", lossless=True, exif=damaged or b"\0")
    assert np.array_equal(decoded(content), colour_picture())
    profile = b"Raw profile type exif\0" + b"\nexif\n  9\n" + (damaged.hex().encode() or b"zz")
    assert np.array_equal(decoded(png_with(image(), (b"tEXt", profile))), colour_picture())
    expected = decoded(encoded(image(), "JPEG", quality=95))
    assert np.array_equal(decoded(jpeg_with(0xE1, b"Exif\0\0" + damaged)), expected)
    for format_ in ("AVIF", "HEIF"):
        camera = Image.Exif()
        camera[Base.Make] = "a camera of a maker with a long name"
        whole = camera.tobytes()[6:]
        content = encoded(image(), format_, quality=100, exif=camera.tobytes())
        assert whole in content
        content = content.replace(whole, damaged[: len(whole)].ljust(len(whole), b"\0"))
        assert np.array_equal(decoded(content), decoded(encoded(image(), format_, quality=100))), format_


def test_exif_in_a_damaged_profile_is_ignored() -> None:
    for text in (b"\nexif\n 4\nnot hex", b"", b"\n\n\n\xff\xfe"):
        assert np.array_equal(
            decoded(png_with(image(), (b"tEXt", b"Raw profile type exif\0" + text))), colour_picture()
        )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"iCCP", b"profile\0\0not zlib"),
        (b"iCCP", b"no separator"),
        (b"zTXt", b"key\0\0not zlib"),
        (b"iTXt", b"XML:com.adobe.xmp\0\x01\x07\0\0damaged"),
        (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0\xff\xfe tiff:Orientation="9"'),
        (b"zTXt", b"bomb\0\0" + zlib.compress(bytes(80_000_000))),
        (b"pHYs", b"\0"),
        (b"gAMA", b""),
        (b"cHRM", b"\1\2\3"),
        (b"acTL", b"\0\0\0\0"),
        (b"fcTL", b"\0"),
        (b"sRGB", b""),
        (b"wHat", b"ever"),
    ],
)
def test_other_damaged_chunks_of_a_png_are_ignored(name: bytes, data: bytes) -> None:
    assert np.array_equal(decoded(png_with(image(), (name, data))), colour_picture())
    assert np.array_equal(decoded(png_with(image(), (name, data), damaged_crc=True)), colour_picture())


def test_orientation_counts_beside_other_damaged_metadata() -> None:
    whole = exif(6).tobytes()[6:]
    content = png_with(image(), (b"eXIf", whole), (b"zTXt", b"bomb\0\0" + zlib.compress(bytes(80_000_000))))
    assert np.array_equal(decoded(content), turned(6))


@pytest.mark.parametrize(
    ("marker", "data"),
    [
        (0xE2, b"ICC_PROFILE\0\x01"),
        (0xE2, b"ICC_PROFILE\0\x01\x09damaged"),
        (0xE2, b"MPF\0MM\0*"),
        (0xE2, b"MPF\0II*\0\x08\0\0\0\x01\0\x00\xb0\x07\0\xff\xff\xff\xff\0\0\0\0"),
        (0xE1, b'http://ns.adobe.com/xap/1.0/\0\xff\xfe tiff:Orientation="9"'),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\xff"),
        (0xFE, b"\xff\xfe comment"),
    ],
)
def test_damaged_segments_of_a_jpeg_are_ignored(marker: int, data: bytes) -> None:
    expected = decoded(encoded(image(), "JPEG", quality=95))
    assert np.array_equal(decoded(jpeg_with(marker, data)), expected)


@pytest.mark.parametrize("tag", [34665, 34853, 40965, 34675, 700, 33723, 282, 305])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_damaged_tags_of_a_tiff_are_ignored(tag: int, compression: str | None) -> None:
    content = bytearray(encoded(image(), "TIFF", compression=compression, tiffinfo={tag: "four"} if tag == 305 else {}))
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    entries = [bytes(content[directory + 2 + 12 * n :][:12]) for n in range(count)]
    kept = [entry for entry in entries if struct.unpack_from("<H", entry)[0] != tag]
    for type_, number, value in ((4, 1, 0xFFFFFFF0), (2, 0xFFFFFF, 3), (13, 1, 2), (7, 9, 0xFFFFFFF0), (5, 3, 9)):
        added = sorted(
            [*kept, struct.pack("<HHII", tag, type_, number, value)], key=lambda e: struct.unpack("<H", e[:2])
        )
        directory_ = struct.pack("<H", len(added)) + b"".join(added) + bytes(4)
        moved = bytes(content[:4]) + struct.pack("<I", len(content)) + bytes(content[8:]) + directory_
        assert np.array_equal(decoded(moved), colour_picture()), (type_, number)


def test_truncated_pixels_stay_an_error() -> None:
    for format_, options in {**LOSSLESS, "JPEG": {}, "BMP": {}, "PPM": {}, "AVIF": {}, "HEIF": {}}.items():
        content = encoded(image(), format_, **options)
        with pytest.raises(UnreadableImages, match=r"some\.file"):
            decode_rgb(FILE, content[: len(content) * 2 // 3])


def test_a_decompression_bomb_stays_an_error() -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    with pytest.raises(UnreadableImages, match="900000000 pixels"):
        decode_rgb(FILE, content)
