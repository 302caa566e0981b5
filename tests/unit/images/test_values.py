"""Values of every depth, floating point and transparency become the picture that a person sees."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.finetune.errors import UnreadableImages
from app.finetune.images import decode_rgb
from tests.unit.images.support import SIZE, colour_picture, encoded, picture, tiff_of

FILE = Path("some.file")


def decoded(content: bytes) -> npt.NDArray[np.int64]:
    return np.asarray(decode_rgb(FILE, content)).astype(np.int64)


def expect_grey(content: bytes, expected: npt.NDArray[Any], within: int = 1) -> None:
    pixels = decoded(content)
    assert pixels.shape == (*expected.shape, 3)
    assert np.abs(pixels - expected[:, :, None]).max() <= within


def expect_colour(content: bytes, expected: npt.NDArray[Any], within: int = 1) -> None:
    assert np.abs(decoded(content) - expected).max() <= within


def png(values: npt.NDArray[Any], bits: int, colour_type: int, *chunks: bytes) -> bytes:
    """Of values [H, W, C]; `colour_type` as in the specification."""
    big_endian = values.astype(">u2" if bits == 16 else np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in big_endian)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep(grey: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint16]:
    """The grey levels spread over 0..2**bits - 1."""
    values: npt.NDArray[np.uint16] = (grey.astype(np.float64) / 255 * (2**bits - 1)).round().astype(np.uint16)
    return values


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_few_bits_in_a_16_bit_file_are_not_black(bits: int) -> None:
    grey = picture()
    expect_grey(encoded(Image.fromarray(deep(grey, bits)), "PNG"), grey)
    expect_grey(tiff_of(deep(grey, bits)), grey)
    expect_grey(encoded(Image.fromarray(deep(grey, bits)), "TIFF", compression="tiff_lzw"), grey)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_few_bits_in_16_bits_per_channel_are_not_black(bits: int) -> None:
    colour = colour_picture()
    values = deep(colour, bits)
    opaque = np.full((*values.shape[:2], 1), 0xFFFF)
    expect_colour(png(values, 16, 2), colour)
    expect_colour(png(np.dstack([values, opaque]), 16, 6), colour)
    expect_grey(png(np.dstack([values[:, :, :1], opaque]), 16, 4), colour[:, :, 0])


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_values_of_few_bits_in_a_colour_tiff_are_not_black(bits: int, order: str, channels: int) -> None:
    colour = colour_picture()
    values = deep(colour, bits)
    if channels == 4:
        values = np.dstack([values, np.full(values.shape[:2], 2**bits - 1, np.uint16)])
    expect_colour(colour_tiff(values, order), colour)


def colour_tiff(values: npt.NDArray[np.uint16], order: str, photometric: int = 2) -> bytes:
    """Uncompressed, interleaved, 16 bits per channel; a fourth channel is alpha."""
    height, width, channels = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8 + len(pixels)), (259, 3, 1, 1)]
    entries += [(262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels), (278, 3, 1, height)]
    entries += [(279, 4, 1, len(pixels))] + ([(338, 3, 1, 2)] if channels == 4 and photometric == 2 else [])
    return tiff_directory(pixels, struct.pack(f"{order}{channels}H", *[16] * channels), entries, order)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_16_bits_are_not_taken_for_planes_of_8(bits: int, order: str) -> None:
    values = deep(colour_picture(), bits)
    planes = [np.ascontiguousarray(values[:, :, n]).astype(f"{order}u2").tobytes() for n in range(3)]
    expect_colour(tiff_of_planes(planes, order, compression=1), colour_picture())
    compressed = tiff_of_planes([zlib.compress(plane) for plane in planes], order, compression=8)
    if bits == 16:
        expect_colour(compressed, colour_picture())
    else:
        with pytest.raises(UnreadableImages, match="its colour planes of 16 bits are compressed"):
            decode_rgb(FILE, compressed)


def tiff_of_planes(planes: list[bytes], order: str, compression: int) -> bytes:
    starts = [8 + sum(map(len, planes[:n])) for n in range(3)]
    lists = struct.pack(f"{order}3H", 16, 16, 16) + struct.pack(f"{order}6I", *starts, *map(len, planes))
    place = 8 + sum(map(len, planes))
    entries = [(256, 3, 1, SIZE[0]), (257, 3, 1, SIZE[1]), (258, 3, 3, place), (259, 3, 1, compression), (262, 3, 1, 2)]
    entries += [(273, 4, 3, place + 6), (277, 3, 1, 3), (278, 3, 1, SIZE[1]), (279, 4, 3, place + 18), (284, 3, 1, 2)]
    return tiff_directory(b"".join(planes), lists, entries, order)


def tiff_directory(pixels: bytes, lists: bytes, entries: list[tuple[int, int, int, int]], order: str) -> bytes:
    """`entries` are tag, type, count and value or place; `lists` follow the pixels, which begin at byte 8."""
    directory = struct.pack(f"{order}H", len(entries))
    for tag, type_, count, value in entries:
        small = type_ == 3 and count == 1
        directory += struct.pack(f"{order}HHI" + ("HH" if small else "I"), tag, type_, count, value, *[0] * small)
    start = struct.pack(f"{order}I", 8 + len(pixels) + len(lists))
    return (b"II*\0" if order == "<" else b"MM\0*") + start + pixels + lists + directory + bytes(4)


def test_a_bmp_whose_fourth_byte_is_unused_is_opaque() -> None:
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, SIZE[0], -SIZE[1], 1, 32, 3, 0, 0, 0, 0, 0) + masks + bytes(52)
    for alpha, expected in ((0, colour_picture()), (255, colour_picture())):
        pixels = np.dstack([colour_picture()[:, :, ::-1], np.full(SIZE[::-1], alpha, np.uint8)])
        size = 14 + len(header) + pixels.size
        content = b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(header)) + header + pixels.tobytes()
        expect_colour(content, expected, within=0)


def test_12_bit_cmyk_is_not_white() -> None:
    ink = np.dstack([colour_picture(), np.zeros(SIZE[::-1], np.uint8)])
    expected = Image.frombytes("CMYK", SIZE, ink.tobytes()).convert("RGB")
    expect_colour(colour_tiff(deep(ink, 12), "<", photometric=5), np.asarray(expected), within=2)


@pytest.mark.parametrize("maximum", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
def test_a_pgm_and_a_ppm_are_scaled_by_the_maximum_that_they_say(kind: str, maximum: int) -> None:
    dark: npt.NDArray[Any] = picture() // 5
    values = (dark.astype(np.float64) * maximum / 255).round().astype(np.uint16)
    if kind in ("P3", "P6"):
        values = np.repeat(values[:, :, None], 3, axis=2)
    head = f"{kind} {SIZE[0]} {SIZE[1]} {maximum}\n".encode()
    plain = " ".join(map(str, values.ravel().tolist())).encode()
    content = head + (plain if kind in ("P2", "P3") else values.astype(">u2" if maximum > 255 else "u1").tobytes())
    if maximum == 65535 and kind != "P3":  # which says nothing: the brightest, 51 * 257, fills 14 bits
        dark = (values if values.ndim == 2 else values[:, :, 0]) >> 6
    expect_grey(content, dark)


def test_12_bit_values_in_a_ppm_of_16_bits_are_not_black() -> None:
    values = deep(colour_picture(), 12)
    expect_colour(f"P6 {SIZE[0]} {SIZE[1]} 65535\n".encode() + values.astype(">u2").tobytes(), colour_picture())


@pytest.mark.parametrize("highest", [1.0, 255.0, 1023.0, 4095.0, 65535.0])
def test_floating_point_values_are_scaled_by_their_range(highest: float) -> None:
    grey = picture()
    expect_grey(tiff_of((grey / 255 * highest).astype(np.float32)), grey)


@pytest.mark.parametrize("highest", [1.0, 255.0])
def test_the_overshoot_of_interpolation_is_clipped(highest: float) -> None:
    grey = picture()
    values = (grey / 255 * highest).astype(np.float32)
    values[0, 0], values[0, 1] = -0.1 * highest, 1.2 * highest
    expected = grey.copy()
    expected[0, 0], expected[0, 1] = 0, 255
    expect_grey(tiff_of(values), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -300.0, 1e9])
def test_floating_point_values_of_no_range_are_refused_with_the_reason(bad: float) -> None:
    values = (picture() / 255).astype(np.float32)
    values[3, 3] = bad
    with pytest.raises(UnreadableImages, match=r"some\.file \((some of its values are NaN or inf|its values are in)"):
        decode_rgb(FILE, tiff_of(values))


@pytest.mark.parametrize(
    ("lowest", "highest"),
    [(-3.0, 2.0), (-1.0, 1.0), (-0.4, 0.6), (-0.2, 0.3), (0.0, 1.3), (0.0, 8.0), (-60.0, 80.0), (-128.0, 127.0)],
)
def test_values_that_fill_no_known_range_are_refused_and_not_black(lowest: float, highest: float) -> None:
    values = (lowest + picture() / 255 * (highest - lowest)).astype(np.float32)
    reason = rf"its values are in {lowest:g}\.\.{highest:g}; write values in 0\.\.1 or 0\.\.255"
    with pytest.raises(UnreadableImages, match=reason):
        decode_rgb(FILE, tiff_of(values))


@pytest.mark.parametrize(("lowest", "highest"), [(-3, 2), (-128, 127), (-2000, 3000), (-(2**31), 2**31 - 1)])
def test_integers_with_negative_values_of_no_known_range_are_refused(lowest: int, highest: int) -> None:
    values = np.linspace(lowest, highest, 480).reshape(20, 24).astype(np.int32)
    with pytest.raises(UnreadableImages, match=r"its values are in -"):
        decode_rgb(FILE, tiff_of(values))


@given(st.floats(-4, 2), st.floats(0.01, 400))
def test_floating_point_values_that_are_read_are_neither_cut_off_nor_black(lowest: float, width: float) -> None:
    values = (lowest + picture() / 255 * width).astype(np.float32)
    try:
        pixels = decoded(tiff_of(values))
    except UnreadableImages:
        return
    assert values.min() >= -0.25 * values.max()
    assert pixels.max() >= (16 if values.max() > 1.25 else int(values.max() * 204))


def signed_tiff(values: npt.NDArray[np.int8], order: str = "<") -> bytes:
    height, width = values.shape
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, values.size), (339, 3, 1, 2)]
    return tiff_directory(values.tobytes(), b"", entries, order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_bytes_do_not_wrap_around(order: str) -> None:
    positive = (picture() // 2).astype(np.int8)
    expect_grey(signed_tiff(positive, order), positive, within=0)
    centred = (picture().astype(np.int64) - 128).astype(np.int8)
    with pytest.raises(UnreadableImages, match=r"its values are in -128\.\.127"):
        decode_rgb(FILE, signed_tiff(centred, order))


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 32])
def test_unsigned_32_bit_integers_are_scaled_by_their_bits(bits: int) -> None:
    grey = picture()
    values = (grey / 255 * (2**bits - 1)).round().astype("<u4")
    height, width = values.shape
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, height), (279, 4, 1, values.nbytes)]
    expect_grey(tiff_directory(values.tobytes(), b"", entries, "<"), grey)


@pytest.mark.parametrize("factor", [1, 16, 257, 2**20])
def test_32_bit_integers_are_scaled_by_their_bits(factor: int) -> None:
    grey = picture()
    expect_grey(tiff_of(grey.astype(np.int32) * factor), grey)


def test_values_whose_file_says_that_zero_is_white_are_inverted() -> None:
    grey = picture()
    for values in (deep(255 - grey, 16), ((255 - grey) / 255).astype(np.float32)):
        content = bytearray(tiff_of(values))
        place = content.index(struct.pack("<HHI", 262, 3, 1))
        content[place + 8] = 0
        expect_grey(bytes(content), grey)


def test_transparent_pixels_are_grey_whatever_is_hidden() -> None:
    colour = colour_picture()
    alpha = np.full(colour.shape[:2], 255, np.uint8)
    alpha[:10], alpha[10:12] = 0, 128
    expected = colour.astype(np.float64)
    expected[:10] = 128
    expected[10:12] = expected[10:12] * 128 / 255 + 128 * 127 / 255
    rgba = Image.fromarray(np.dstack([colour, alpha]))
    for format_, options in {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}.items():
        expect_colour(encoded(rgba, format_, **options), expected)
    expect_colour(png(np.dstack([deep(colour, 16), deep(alpha, 16)]), 16, 6), expected, within=2)
    expect_colour(png(np.dstack([deep(colour, 12), deep(alpha, 12)]), 16, 6), expected, within=2)
    grey = Image.fromarray(np.dstack([colour[:, :, 0], alpha]))
    expect_grey(encoded(grey, "PNG"), expected[:, :, 0])


def test_a_transparent_key_is_grey_in_every_kind_of_png() -> None:
    grey = (picture() // 2).astype(np.uint8)
    expected = np.where(grey == 0, 128, grey)
    key = np.where(grey == 0, 200, grey).astype(np.uint8)
    tone = struct.pack(">H", 200)
    expect_grey(png(key[:, :, None], 8, 0, chunk(b"tRNS", tone)), expected)
    expect_grey(png(np.dstack([key] * 3), 8, 2, chunk(b"tRNS", tone * 3)), expected)
    palette = chunk(b"PLTE", bytes(level for level in range(256) for _ in range(3)))
    alphas = chunk(b"tRNS", bytes(0 if level == 200 else 255 for level in range(256)))
    expect_grey(png(key[:, :, None], 8, 3, palette, alphas), expected)
    deep_key = np.where(grey == 0, 65535, deep(grey, 12)).astype(np.uint16)
    tone = struct.pack(">H", 65535)
    expect_grey(png(deep_key[:, :, None], 16, 0, chunk(b"tRNS", tone)), expected)
    expect_grey(png(np.dstack([deep_key] * 3), 16, 2, chunk(b"tRNS", tone * 3)), expected)


def test_a_palette_with_alpha_is_composed() -> None:
    expected = np.dstack([picture() // 64 * 64] * 3)
    paletted = Image.fromarray(expected).quantize(8)
    hidden = int(np.asarray(paletted)[0, 0])
    pixels = np.asarray(paletted.convert("RGB")).astype(int)
    pixels[np.asarray(paletted) == hidden] = 128
    for format_ in ("PNG", "GIF"):
        expect_colour(encoded(paletted, format_, transparency=hidden), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_other_kinds_of_colour_are_as_pillow_shows_them(mode: str) -> None:
    image = Image.fromarray(colour_picture())
    converted = image.quantize(64) if mode == "P" else image.convert(mode)
    content = encoded(converted, "TIFF")
    expect_colour(content, np.asarray(converted.convert("RGB")), within=0)
    if mode == "LAB":
        expect_colour(content, colour_picture(), within=32)  # clipped to the gamut


@given(st.sampled_from(["L", "RGB", "1", "P"]), st.sampled_from(["PNG", "TIFF", "BMP", "PPM", "JPEG"]), st.data())
def test_ordinary_images_keep_the_pixels_of_version_1(mode: str, format_: str, data: st.DataObject) -> None:
    width, height = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    pixels = data.draw(st.binary(min_size=3 * width * height, max_size=3 * width * height))
    image = Image.frombytes("RGB", (width, height), pixels).convert(mode)
    if format_ in ("PPM", "JPEG") and mode == "P":
        image = image.convert("RGB")
    content = encoded(image, format_)
    with Image.open(io.BytesIO(content)) as opened:
        expected = opened.convert("RGB")
    assert decode_rgb(FILE, content).tobytes() == expected.tobytes()
    assert decode_rgb(FILE, content, reader=1).tobytes() == expected.tobytes()


def test_version_1_reads_deep_values_as_it_did() -> None:
    dark = deep(picture(), 12)
    for content, level in ((tiff_of(dark), 15), (tiff_of((picture() / 255).astype(np.float32)), 1)):
        assert np.asarray(decode_rgb(FILE, content, reader=1)).max() == level
