"""Decode the content of an image file, and say why where that fails. Raises whatever Pillow raises: images.py is the
boundary."""

import io
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

from app.finetune.image_formats import FORMAT_NAMES, installed_formats, may_be_heic
from app.finetune.image_limits import ImageTooLarge, decoding, refuse_content, refuse_opened
from app.finetune.image_metadata import orientation_in, orientation_of, upright, without_metadata
from app.finetune.image_values import StoredType, from_16_bits, from_grey_and_alpha, to_rgb, to_rgb_by_version_1

_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
_DEEP_KINDS = ("RGB", "RGBX", "RGBA", "CMYK", "LA", "R")
_FULL_DEPTH = 64  # the least upper byte of a value that needs more than 14 bits
_PHOTOMETRIC, _BITS, _PLANES, _SAMPLE_FORMAT = 262, 258, 284, 339  # TIFF tags
_UNSIGNED, _SIGNED = (1,), (2,)
_SEPARATE = 2
_WHITE_IS_ZERO = 0
_PGM_MAXIMUM = 0xFFFF
_TOO_LARGE = (ImageTooLarge, Image.DecompressionBombError, Image.DecompressionBombWarning)
_SAYS_WHY = (OSError, SyntaxError, ValueError)


def decode(content: bytes, reader: int) -> Image.Image:
    """RGB, upright. Where that fails, the file is decoded without its metadata. `reader` as in `images.decode_rgb`."""
    try:
        return _decode(content, reader)
    except (MemoryError, *_TOO_LARGE):
        raise
    except Exception as error:
        bare = without_metadata(content)
        if bare is None:
            raise
        try:
            return upright(_decode(bare.content, reader), orientation_in(bare.exif))
        except Exception:
            raise error from None


def open_image(content: bytes) -> ImageFile.ImageFile:
    """Open as one of IMAGE_FORMATS, and as no other: an EPS file would start Ghostscript. Raises also ImageTooLarge."""
    refuse_content(content)
    with_heic = may_be_heic(content) and _register_heic()
    return Image.open(io.BytesIO(content), formats=installed_formats(with_extras=with_heic))


def reason_of(content: bytes, error: Exception) -> str:
    """Why the content could not be decoded, in words."""
    if not content:
        return "empty: the file has 0 bytes"
    if not content.strip(b"\0"):
        return "empty: all its bytes are 0, as after a copy that was interrupted"
    if isinstance(error, UnidentifiedImageError):
        if may_be_heic(content) and not _register_heic():
            return "a HEIC image, which needs the extra `heic`: pip install .[heic]"
        return _reason_of_format(content) or f"not an image of a format that is read: {FORMAT_NAMES}"
    if isinstance(error, _TOO_LARGE):
        return str(error if isinstance(error, ImageTooLarge) else ImageTooLarge(_declared(error)))
    if isinstance(error, _SAYS_WHY) and str(error):
        return str(error)
    return f"damaged ({type(error).__name__})"


def _decode(content: bytes, reader: int) -> Image.Image:
    with open_image(content) as opened:
        if reader > 1:
            _mend(opened, content)
        tile = opened.tile[0] if len(opened.tile) else None
        is_deep = opened.mode.startswith(("I", "F")) or _rawmode(tile).partition(";")[2] in _OTHER_ORDER
        refuse_opened(opened, deep=is_deep)
        with decoding(opened):
            return _decode_opened(opened, tile, content, reader)


def _decode_opened(
    opened: ImageFile.ImageFile, tile: ImageFile._Tile | None, content: bytes, reader: int
) -> Image.Image:
    opened.load()
    orientation = orientation_of(opened)
    if reader == 1:
        return upright(to_rgb_by_version_1(opened), orientation)
    if opened.format == "BMP" and opened.mode == "RGBA" and opened.getchannel("A").getbbox() is None:
        return opened.convert("RGB")  # Many programs write 0 into the fourth byte and mean opaque.
    rgb = _from_lost_bytes(content, opened, tile)
    if rgb is None:
        inverted = _tag(opened, _PHOTOMETRIC) == _WHITE_IS_ZERO
        bits, stored = _declared_bits(opened, tile), _stored_type(opened)
        rgb = to_rgb(opened, bits=bits, inverted=inverted, stored=stored)
    return upright(rgb, orientation)


def _mend(opened: ImageFile.ImageFile, content: bytes) -> None:
    """Planes of 16 bits, which Pillow takes for planes of 8."""
    separate = _tag(opened, _PLANES) == _SEPARATE and 16 in (_tag(opened, _BITS) or ())
    if separate and all(tile.codec_name == "raw" for tile in opened.tile):
        order = "16L" if content.startswith(b"II") else "16B"
        opened.tile = [_with_rawmode(tile, f"{_rawmode(tile)};{order}") for tile in opened.tile]


def _from_lost_bytes(content: bytes, loaded: ImageFile.ImageFile, tile: ImageFile._Tile | None) -> Image.Image | None:
    """RGB of an image of 16 bits per channel whose values are in their lower bytes, which Pillow drops: the content is
    decoded again for these. None for other images."""
    rawmode = _rawmode(tile)
    kind, _, order = rawmode.partition(";")
    if order not in _OTHER_ORDER or kind not in _DEEP_KINDS:
        return None
    key, image = loaded.info.get("transparency"), loaded.copy()
    colours = image.split()[: 4 if kind == "CMYK" else 3]
    if key is None and any(colour.point(lambda upper: upper >= _FULL_DEPTH).getbbox() for colour in colours):
        return None
    if kind == "LA":
        return from_grey_and_alpha(_loaded_as(content, lambda _: "RGBA"))
    if _tag(loaded, _PLANES) == _SEPARATE and kind != "R":
        raise ValueError("its colour planes of 16 bits are compressed and hold fewer bits; save it interleaved")
    high, low = (_loaded_as(content, change) for change in (str, _in_other_order))
    return from_16_bits(high, low, key)


def _in_other_order(rawmode: str) -> str:
    kind, _, order = rawmode.partition(";")
    return f"{kind};{_OTHER_ORDER[order]}"


def _rawmode(tile: ImageFile._Tile | None) -> str:
    """How the values lie in the file, as in `RGB;16B`; empty where that is unknown."""
    if tile is None or not tile.args:
        return ""
    if tile.codec_name == "ppm":
        return "RGB;16B" if tile.args == ("RGB", _PGM_MAXIMUM) else ""
    return tile.args if isinstance(tile.args, str) else str(tile.args[0])


def _loaded_as(content: bytes, change: Callable[[str], str]) -> Image.Image:
    """The content decoded with other raw modes."""
    with open_image(content) as opened:
        _mend(opened, content)
        opened.tile = [_with_rawmode(tile, change(_rawmode(tile))) for tile in opened.tile]
        opened.load()
        return opened.copy()


def _with_rawmode(tile: ImageFile._Tile, rawmode: str) -> ImageFile._Tile:
    if tile.codec_name == "ppm":
        return tile._replace(codec_name="raw", args=rawmode)
    return tile._replace(args=rawmode if isinstance(tile.args, str) else (rawmode, *(tile.args or ())[1:]))


def _declared_bits(opened: ImageFile.ImageFile, tile: ImageFile._Tile | None) -> int | None:
    """The depth of integers where the file says it: 12-bit TIFF, and PGM, which Pillow scales to 16 bits by the maximum
    that the file gives; the maximum of 16 bits says nothing."""
    if tile is not None and tile.codec_name in ("ppm", "ppm_plain") and tile.args and tile.args[1] != _PGM_MAXIMUM:
        return 16
    return 12 if _tag(opened, _BITS) == (12,) else None


def _stored_type(opened: ImageFile.ImageFile) -> StoredType | None:
    """The type of the grey values in a TIFF file where Pillow takes them for another one."""
    kind = opened.mode, _tag(opened, _BITS), _tag(opened, _SAMPLE_FORMAT) or _UNSIGNED
    types: dict[object, StoredType] = {("L", (8,), _SIGNED): "int8", ("I", (32,), _UNSIGNED): "uint32"}
    return types.get(kind)


def _tag(opened: ImageFile.ImageFile, tag: int) -> Any:
    """The value of a TIFF tag; None of other formats."""
    return getattr(opened, "tag_v2", {}).get(tag)


def _declared(error: Exception) -> str:
    """The pixels that Pillow's own limit found."""
    found = re.search(r"\d+ pixels", str(error))
    return "too many pixels" if found is None else found[0]


@cache
def _register_heic() -> bool:
    """Whether the extra `heic` is installed, which Pillow knows from here on."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _reason_of_format(content: bytes) -> str | None:
    """Why the format that the content begins as does not open it, which Pillow keeps to itself."""
    for name in installed_formats(with_extras=False):
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(content[:16]) is True:
            try:
                factory(io.BytesIO(content), "").close()
            except Exception as error:
                return f"not a {name} image that can be read: {error}"
    return None
