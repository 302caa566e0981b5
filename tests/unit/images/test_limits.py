"""An image that declares more than is decoded is refused by its header, whatever the format."""

import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.finetune.errors import UnreadableImages
from app.finetune.image_limits import MOST_DEEP_PIXELS, MOST_SIDE
from app.finetune.images import count_frames, decode_rgb
from app.finetune.training_errors import TooLittleMemory
from tests.unit.images.support import colour_picture, encoded, picture

FILE = Path("some.file")


def png_of_zeros(width: int, height: int, *, bits: int = 8, kind: int = 2, rows: int | None = None) -> bytes:
    """A PNG of black pixels in a few kilobytes, whole unless it has fewer `rows`; `kind` is the colour type."""
    row = 1 + width * {0: 1, 2: 3, 6: 4}[kind] * bits // 8
    deflate = zlib.compressobj(9)
    data = b"".join([*(deflate.compress(bytes(row)) for _ in range(height if rows is None else rows)), deflate.flush()])
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def tiff_tile(side: int) -> bytes:
    """A small TIFF whose only tile has this side, deflated."""
    tile = zlib.compress(bytes(8))
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(tile)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = 8 + len(tile)
    return b"II*\0" + struct.pack("<I", start) + tile + struct.pack("<H", len(tags)) + entries + bytes(4)


def patched(content: bytes, at: bytes, offset: int, value: bytes) -> bytes:
    """The content with bytes overwritten at an offset from where `at` begins."""
    place = content.index(at) + offset
    return content[:place] + value + content[place + len(value) :]


@cache
def declared() -> dict[str, bytes]:
    """Small files that declare too much, by what is too much."""
    image = Image.fromarray(colour_picture())
    codestream = b"\xff\x4f\xff\x51"
    jpeg_2000 = encoded(image, "JPEG2000")
    huge = struct.pack(">I", 2**31 - 1)
    scans = encoded(image, "JPEG", progressive=True)
    end = scans.rindex(b"\xff\xd9")
    last_scan = scans[scans.rindex(b"\xff\xda") : end]
    return {
        "png: side": png_of_zeros(60_000, 2),
        "png: pixels": png_of_zeros(16_000, 8_000, rows=1),
        "png: deep": png_of_zeros(4097, 4096, bits=16, rows=1),
        "jpeg": patched(encoded(image, "JPEG"), b"\xff\xc0", 5, struct.pack(">HH", 60_000, 60_000)),
        "jpeg: scans": scans[:end] + 200 * last_scan + scans[end:],
        "jpeg 2000: codestream": patched(encoded(image, "JPEG2000", no_jp2=True), codestream, 8, huge + huge),
        "jpeg 2000: codestream in boxes": patched(jpeg_2000, codestream, 8, huge + huge),
        "jpeg 2000: tiles": patched(jpeg_2000, codestream, 8, struct.pack(">IIIIII", 4000, 4000, 0, 0, 8, 8)),
        "jpeg 2000: channels": patched(jpeg_2000, codestream, 40, b"\x40\x00"),
        "webp: canvas": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\x3f\xff\xff\x3f" + bytes(8),
        "webp: lossless": patched(encoded(image, "WEBP", lossless=True), b"VP8L", 9, b"\xff\xff\xff\x0f"),
        "webp: lossy": patched(encoded(image, "WEBP"), b"\x9d\x01\x2a", 3, b"\xff\x3f\xff\x3f"),
        "bmp": patched(encoded(image, "BMP"), b"BM", 18, struct.pack("<ii", 60_000, 60_000)),
        "tiff": patched(tiff_tile(16), struct.pack("<HHII", 256, 4, 1, 16), 8, struct.pack("<I", 100_000)),
        "tiff: tile": tiff_tile(2**14),
        "pgm": b"P5 20000 20000 255\n",
        "gif": patched(encoded(image.quantize(8), "GIF"), b"GIF8", 6, struct.pack("<HH", 60_000, 60_000)),
    }


@pytest.mark.parametrize("content", declared().values(), ids=declared())
def test_what_a_header_declares_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableImages, match=r"too large: .*; at most 32,768 pixels a side and 67,108,864 in all"):
        decode_rgb(FILE, content)
    assert count_frames(content) >= 1


def test_whole_images_up_to_the_limits_are_read() -> None:
    assert decode_rgb(FILE, png_of_zeros(MOST_SIDE, 8, kind=0)).size == (MOST_SIDE, 8)
    rows = MOST_DEEP_PIXELS // MOST_SIDE
    assert decode_rgb(FILE, png_of_zeros(MOST_SIDE, rows, kind=0, bits=16)).size == (MOST_SIDE, rows)


PEAK = """
import resource, sys
from pathlib import Path
from app.finetune.images import find_unreadable
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = find_unreadable([Path(name) for name in sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(found))
"""


def peak_kilobytes(*files: Path) -> tuple[int, int]:
    """More memory that a process took to decode the files in eight threads, and how many of them it could not."""
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, *map(str, files)], capture_output=True, text=True, check=True, timeout=300
    )
    taken, unreadable = map(int, ran.stdout.split())
    return taken, unreadable


@pytest.mark.slow
def test_a_small_file_of_the_most_pixels_takes_bounded_memory_however_many_there_are(tmp_path: Path) -> None:
    for number, kind in enumerate((0, 2, 6, 6, 2, 0)):
        (tmp_path / f"{number}.png").write_bytes(png_of_zeros(8192, 8192, kind=kind))
    for number in range(2):
        (tmp_path / f"deep {number}.png").write_bytes(png_of_zeros(4096, 4096, bits=16, kind=2 * number))
    assert max(os.stat(path).st_size for path in tmp_path.iterdir()) < 300_000  # noqa: PTH116
    taken, unreadable = peak_kilobytes(*sorted(tmp_path.iterdir()))
    assert unreadable == 0
    assert taken < 1_600_000


def test_large_images_wait_for_each_other_and_none_for_ever() -> None:
    content = png_of_zeros(8192, 4096, kind=0)
    with ThreadPoolExecutor(6) as pool:
        sizes = list(pool.map(lambda _: decode_rgb(FILE, content).size, range(6)))
    assert sizes == 6 * [(8192, 4096)]


def test_transparency_of_a_large_image_is_as_that_of_its_parts() -> None:
    """It is composed in bands."""
    grey = np.tile(picture(), (60, 50))
    alpha = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(grey[::-1].copy())))
    whole = np.asarray(decode_rgb(FILE, encoded(alpha, "PNG")))
    assert alpha.width * alpha.height > 2**20
    part = alpha.crop((0, 900, 1200, 1200))
    assert np.array_equal(whole[900:1200], np.asarray(decode_rgb(FILE, encoded(part, "PNG"))))


SHORT = """
import resource, sys
from pathlib import Path
from app.finetune.images import read_rgb
from app.finetune.training_errors import TooLittleMemory
read_rgb(Path(sys.argv[2]))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000,) * 2)
try:
    read_rgb(Path(sys.argv[1]))
except TooLittleMemory as error:
    print(error.message)
"""


def test_too_little_memory_is_told_and_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(png_of_zeros(8192, 4096))
    (tmp_path / "small.png").write_bytes(encoded(Image.fromarray(picture()), "PNG"))
    ran = subprocess.run(
        [sys.executable, "-c", SHORT, str(tmp_path / "large.png"), str(tmp_path / "small.png")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == TooLittleMemory(tmp_path / "large.png").message


def test_a_stored_file_is_not_opened_as_a_format_that_is_not_named() -> None:
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "EPS")
    with pytest.raises(UnreadableImages, match="not an image of a format that is read"):
        decode_rgb(FILE, file.getvalue())
