"""How large an image may be: refused by what its header declares, before any pixel is decoded.

A file of a few kilobytes can declare pixels, tiles or scans that take gigabytes or hours. Decoding all pixels of one
image takes about 8 bytes for each; `decoding` bounds those of all threads together.
"""

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile

MOST_PIXELS = 2**26
"""67 million: the photos of a camera of 64 megapixels."""

MOST_DEEP_PIXELS = 2**24
"""Of an image of more than 8 bits per channel, which takes more memory: 4096 x 4096."""

MOST_SIDE = 2**15

_MOST_AT_ONCE = 2 * MOST_PIXELS
_MOST_TILES = 2**14
_MOST_TILE_PIXELS = 2**24
_MOST_SCANS = 100
"""Of a progressive JPEG, each of which passes over all pixels; encoders write about 10."""

_MOST_COMPONENTS = 4
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF tags
_CODESTREAM = b"\xff\x4f\xff\x51"
_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SIZ = ">HHIIIIIIIIH"


warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # refused here


class ImageTooLarge(ValueError):
    """What the file declares is more than is decoded."""

    def __init__(self, declared: str) -> None:
        super().__init__(
            f"too large: {declared}; at most {MOST_SIDE:,} pixels a side and {MOST_PIXELS:,} in all are read, "
            f"{MOST_DEEP_PIXELS:,} of more than 8 bits per channel"
        )


def refuse_content(content: bytes) -> None:
    """Refuse what a decoder would make room for when it opens the content. Raises ImageTooLarge."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        if (size := _webp_size(content)) is not None:
            refuse_size(size)
    elif content.startswith(b"\xff\xd8"):
        if (scans := content.count(b"\xff\xda")) > _MOST_SCANS:
            raise ImageTooLarge(f"{scans:,} scans")
    elif content.startswith((_CODESTREAM, _JP2)):
        _refuse_codestream(content)


def refuse_opened(opened: ImageFile.ImageFile, *, deep: bool) -> None:
    """Refuse an image that was opened and not loaded. `deep`: more than 8 bits per channel. Raises ImageTooLarge."""
    refuse_size(opened.size, MOST_DEEP_PIXELS if deep else MOST_PIXELS)
    tags = getattr(opened, "tag_v2", {})
    tile = tags.get(_TILE_WIDTH, 1), tags.get(_TILE_LENGTH, 1)
    if all(isinstance(side, int) for side in tile) and tile[0] * tile[1] > _MOST_TILE_PIXELS:
        raise ImageTooLarge(f"tiles of {tile[0]:,} x {tile[1]:,} pixels")


def refuse_size(size: tuple[int, int], most: int = MOST_PIXELS) -> None:
    """Raises ImageTooLarge."""
    width, height = size
    if width * height > most or max(size) > MOST_SIDE:
        raise ImageTooLarge(f"{width:,} x {height:,} pixels")


class _Budget:
    """Pixels that are decoded at once. An image of more than the budget is decoded alone."""

    def __init__(self, pixels: int) -> None:
        self._free = self._all = pixels
        self._changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        taken = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()


_budget = _Budget(_MOST_AT_ONCE)


@contextmanager
def decoding(opened: Image.Image) -> Iterator[None]:
    """Wait until the pixels of the image may be decoded beside those that other threads decode."""
    with _budget.take(opened.width * opened.height):
        yield


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Of the canvas, for which the decoder takes memory when it opens the file."""
    kind = content[12:16]
    if kind == b"VP8X" and len(content) >= 30:
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if kind == b"VP8L" and len(content) >= 25:
        packed = int.from_bytes(content[21:25], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(content) >= 30:
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _refuse_codestream(content: bytes) -> None:
    """What a JPEG 2000 codestream declares, which a JP2 header around it may deny."""
    start = 0 if content.startswith(_CODESTREAM) else _find_codestream(content)
    if start is None or len(content) < start + 4 + struct.calcsize(_SIZ):
        return
    _, _, right, bottom, left, top, *tile, components = struct.unpack_from(_SIZ, content, start + 4)
    tile_width, tile_height, tile_left, tile_top = tile
    refuse_size((right - left, bottom - top))
    if components > _MOST_COMPONENTS:
        raise ImageTooLarge(f"{components:,} channels")
    if tile_width and tile_height:
        tiles = -((tile_left - right) // tile_width) * -((tile_top - bottom) // tile_height)
        if tiles > _MOST_TILES:
            raise ImageTooLarge(f"{tiles:,} tiles")


def _find_codestream(content: bytes) -> int | None:
    """The place of the codestream in the boxes of a JP2 file."""
    place = 0
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        head = 8
        if length == 1 and place + 16 <= len(content):
            (length,), head = struct.unpack_from(">Q", content, place + 8), 16
        if kind == b"jp2c":
            return place + head
        if length < head:
            return None
        place += length
    return None
