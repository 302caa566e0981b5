"""Whatever the bytes of an image file, `decode_rgb` returns pixels or raises UnreadableImages."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import Base

from app.finetune.errors import UnreadableImages
from app.finetune.images import count_frames, decode_rgb
from tests.unit.images.support import colour_picture, encoded, files_of_each_format, picture, tiff_of

FILE = Path("some.file")
FEW, MANY = 300, 60_000
"""Examples in the fast and in the slow tier; the slow ones took about 3 minutes."""

without_deadline = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def seeds() -> list[bytes]:
    image = Image.fromarray(colour_picture())
    grey = Image.fromarray(picture())
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    exif.get_ifd(0x8769)[36867] = "2020:01:01 00:00:00"
    alpha = Image.merge("RGBA", (*image.split(), grey))
    more = [
        encoded(image, "PNG", exif=exif, icc_profile=b"profile"),
        encoded(alpha, "PNG"),
        encoded(grey.quantize(8), "PNG", transparency=3),
        encoded(image, "PNG", save_all=True, append_images=[image]),
        encoded(image, "JPEG", exif=exif, progressive=True, comment=b"a comment"),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "MPO", save_all=True, append_images=[image]),
        encoded(alpha, "WEBP", exif=exif, xmp=b"<x:xmpmeta/>", lossless=True),
        encoded(image, "TIFF", exif=exif, compression="tiff_lzw"),
        encoded(image, "TIFF", compression="tiff_jpeg"),
        encoded(grey, "TIFF", save_all=True, append_images=[grey]),
        encoded(image, "AVIF", exif=exif),
        encoded(image, "HEIF", exif=exif.tobytes()),
        tiff_of(picture() / 255),
        tiff_of(picture().astype("int32")),
        f"P5 24 20 4095\n{'~!' * 480}".encode(),
        encoded(grey, "GIF", save_all=True, append_images=[grey.rotate(90)]),
    ]
    return [*(content for content, _ in files_of_each_format().values()), *more]


SEEDS = seeds()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real file with some bytes overwritten, cut out, repeated or cut off."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        # Most of a file's structure is at its start.
        place = draw(st.integers(0, min(len(content), 400)) | st.integers(0, len(content)))
        change = draw(st.sampled_from(("overwrite", "insert", "remove", "repeat", "cut")))
        if change == "overwrite":
            new = draw(
                st.binary(min_size=1, max_size=8) | st.sampled_from((b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"))
            )
            content[place : place + len(new)] = new
        elif change == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=16))
        elif change == "remove":
            del content[place : place + draw(st.integers(1, 32))]
        elif change == "repeat":
            content[place:place] = content[place : place + draw(st.integers(1, 64))]
        else:
            del content[place:]
    return bytes(content)


@st.composite
def with_crafted_metadata(draw: st.DrawFn) -> bytes:
    """A whole PNG, JPEG or WebP with random EXIF, text or profile."""
    image = Image.fromarray(picture())
    head = draw(st.sampled_from((b"", b"MM\0*", b"II*\0", b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0")))
    data = head + draw(st.binary(max_size=64))
    kind = draw(st.sampled_from(("PNG", "JPEG", "WEBP")))
    content = encoded(image, kind)
    if kind == "PNG":
        names = (
            b"eXIf",
            b"tEXt",
            b"zTXt",
            b"iTXt",
            b"iCCP",
            b"tRNS",
            b"pHYs",
            b"gAMA",
            b"acTL",
            b"fcTL",
            b"fdAT",
            b"iDOT",
        )
        name = draw(st.sampled_from(names))
        prefix = draw(st.sampled_from((b"", b"Raw profile type exif\0", b"XML:com.adobe.xmp\0\0\0\0\0")))
        chunk = name + prefix + data
        added = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        place = content.index(b"IDAT") - 4
        return content[:place] + added + content[place:]
    if kind == "JPEG":
        marker = draw(st.integers(0xE0, 0xEF) | st.just(0xFE))
        prefix = draw(
            st.sampled_from((b"", b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0", b"Photoshop 3.0\0", b"Adobe\0", b"JFIF\0"))
        )
        segment = prefix + data
        return content[:2] + struct.pack(">BBH", 0xFF, marker, len(segment) + 2) + segment + content[2:]
    return encoded(image, "WEBP", exif=data or b"\0", xmp=data or b"\0")


def read(content: bytes) -> None:
    try:
        image = decode_rgb(FILE, content)
        assert image.mode == "RGB"
    except UnreadableImages as error:
        assert set(error.reasons) == {FILE}
        assert error.reasons[FILE]
        error.message.encode()
    with suppress(UnreadableImages):
        decode_rgb(FILE, content, reader=1)
    assert count_frames(content) >= 1


@settings(without_deadline, max_examples=FEW)
@given(mutated())
def test_no_other_exception_escapes(content: bytes) -> None:
    read(content)


@settings(without_deadline, max_examples=FEW)
@given(with_crafted_metadata())
def test_no_exception_escapes_from_metadata(content: bytes) -> None:
    read(content)


@settings(without_deadline, max_examples=FEW)
@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    read(content)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@settings(without_deadline, max_examples=MANY)
@given(mutated() | with_crafted_metadata())
def test_no_other_exception_escapes_in_many_examples(content: bytes) -> None:
    read(content)


def test_the_seeds_are_whole() -> None:
    for content in SEEDS:
        decode_rgb(FILE, content)
        with Image.open(io.BytesIO(content)) as opened:
            assert opened.size[0] > 0
