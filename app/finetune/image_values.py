"""From the values in an image file to 8-bit RGB.

The range of the values is measured, because files hardly ever say it: 12-bit cameras write 16-bit files, and floating
point is written in 0..1 as often as in 0..255. Integers fill the smallest of 8, 10, 12, 14, 16, ... bits that holds the
image's maximum, and the upper 8 of these bits are kept. Floating-point values fill the smallest of the ranges 0..1,
0..255, 0..1023, 0..4095, 0..16383 and 0..65535 that holds them; interpolation overshoots by up to a quarter of the
range above it, and by up to a quarter of the maximum below 0, which is clipped. Negative integers count as
floating-point values. Other values are refused, since their range is unknown: `(grey - mean) / deviation` is in about
-3..2, and a maximum of 1.3 to 15 fits neither 0..1 nor 0..255.

So the dark images of a deep camera become brighter, by a factor of less than 4 beyond their own maximum. Recognition
bears that, and it does not bear a black image.

Transparent pixels show a neutral grey, whatever colour is hidden behind them.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

GREY = 128
"""The background of transparent pixels."""

_FLOAT_RANGES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_OVERSHOOT = 0.25  # of the range; bicubic interpolation stays below

_UNCLEAR_MAXIMUM = (_FLOAT_RANGES[0] * (1 + _OVERSHOOT), 16.0)
"""Values with a maximum between these would be nearly black as 0..255."""

_PIXELS_AT_ONCE = 2**20

StoredType = Literal["int8", "uint32"]

_Values = npt.NDArray[Any]
_Bytes = npt.NDArray[np.uint8]


def to_rgb(
    image: Image.Image, *, bits: int | None = None, inverted: bool = False, stored: StoredType | None = None
) -> Image.Image:
    """RGB of a loaded image of any mode.

    `bits` is the depth of integers where the file says it. `inverted`: 0 is white in 16-bit and floating-point values;
    Pillow inverts others itself. `stored` is the type of grey values that Pillow loads as another one of as many bits:
    int8 as uint8, uint32 as int32. Raises ValueError for floating-point and negative values of no known range.
    """
    if stored is not None:
        return _from_deep_grey(np.asarray(image).view(stored), None, bits, inverted=inverted)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(np.asarray(image), image.info.get("transparency"), bits, inverted=inverted)
    if not image.has_transparency_data:
        return image.convert("RGB")
    composed = Image.new("RGB", image.size)
    rows = max(1, _PIXELS_AT_ONCE // max(1, image.width))  # a whole image several times over takes much memory
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        composed.paste(_composed(band.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")), (0, top))
    return composed


def to_rgb_by_version_1(image: Image.Image) -> Image.Image:
    """RGB as versions 0.1 and 0.2 made it, for trainings that they began: the upper 8 bits of 16-bit values,
    floating-point values clipped to 0..255, and what transparency hides."""
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert("RGB")


def from_16_bits(high: Image.Image, low: Image.Image, key: object = None) -> Image.Image:
    """RGB of an image of 16 bits per channel, given the upper and the lower bytes of its values: two images that are
    RGB, RGBA or CMYK. `key` is the RGB colour that a PNG declares transparent."""
    values = np.asarray(high).astype(np.uint16) << 8 | np.asarray(low)
    if high.mode == "CMYK":
        return Image.frombytes("CMYK", high.size, _upper_8(values, _bits_of(values)).tobytes()).convert("RGB")
    if high.mode == "RGBA":
        return _from_deep_colour(values[:, :, :3], values[:, :, 3])
    hidden = np.zeros(values.shape[:2], bool) if key is None else (values == np.array(key)).all(2)
    return _from_deep_colour(values, np.where(hidden, 0, 0xFFFF))


def from_grey_and_alpha(pairs: Image.Image) -> Image.Image:
    """RGB of a grey image with alpha, both of 16 bits: `pairs` is RGBA with their bytes, the upper one first."""
    values = np.asarray(pairs).astype(np.uint16)
    grey, alpha = values[:, :, 0] << 8 | values[:, :, 1], values[:, :, 2] << 8 | values[:, :, 3]
    return _from_deep_colour(np.dstack([grey] * 3), alpha)


def _from_deep_grey(values: _Values, key: object, bits: int | None, *, inverted: bool) -> Image.Image:
    """`values` [H, W]; those that equal the integer `key` are transparent."""
    seen = values != key if isinstance(key, int) else np.ones(values.shape, bool)
    grey = np.full(values.shape, GREY, np.uint8)
    if seen.any():  # The key, such as 65535, says nothing about the range of the others.
        scaled = _to_8_bits(values[seen], bits)
        grey[seen] = 255 - scaled if inverted else scaled
    return Image.fromarray(grey).convert("RGB")


def _from_deep_colour(colour: _Values, alpha: _Values) -> Image.Image:
    """`colour` [H, W, 3] and `alpha` [H, W], each filling some of 16 bits; hidden colours do not count."""
    seen = colour[alpha > 0]
    bits = _bits_of(seen) if seen.size else 16
    return _composed(Image.fromarray(np.dstack([_upper_8(colour, bits), _upper_8(alpha, _bits_of(alpha))])))


def _composed(rgba: Image.Image) -> Image.Image:
    background = Image.new("RGBA", rgba.size, (GREY, GREY, GREY, 255))
    return Image.alpha_composite(background, rgba).convert("RGB")


def _to_8_bits(values: _Values, bits: int | None) -> _Bytes:
    if values.dtype.kind == "f" or values.min() < 0:
        return _from_floats(values.astype(np.float64))
    return _upper_8(values, bits or _bits_of(values))


def _bits_of(values: _Values) -> int:
    """The smallest even number of bits, at least 8, that holds these values, none of which is negative."""
    return max(8, (int(values.max()).bit_length() + 1) // 2 * 2)


def _upper_8(values: _Values, bits: int) -> _Bytes:
    upper: _Bytes = (values >> (bits - 8)).clip(0, 255).astype(np.uint8)
    return upper


def _from_floats(values: npt.NDArray[np.float64]) -> _Bytes:
    if not np.isfinite(values).all():
        raise ValueError("some of its values are NaN or infinite")
    lowest, highest = float(values.min()), float(values.max())
    full = next((each for each in _FLOAT_RANGES if highest <= each * (1 + _OVERSHOOT)), None)
    unclear = _UNCLEAR_MAXIMUM[0] < highest < _UNCLEAR_MAXIMUM[1]
    if full is None or unclear or lowest < -min(full, highest) * _OVERSHOOT:
        raise ValueError(f"its values are in {lowest:g}..{highest:g}; write values in 0..1 or 0..255")
    return (values / full * 255).clip(0, 255).round().astype(np.uint8)
