"""The image formats that are read: the one table that suffixes, decoders, messages and the documentation follow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFormat:
    """`name` in messages, `pillow` in Pillow's registry. `extra` is the extra of this project that installs its
    decoder, None where Pillow has it. `frames`: a file may hold several images, of which the first is read."""

    name: str
    pillow: str
    suffixes: tuple[str, ...]
    extra: str | None = None
    frames: bool = False


IMAGE_FORMATS = (
    ImageFormat("PNG", "PNG", (".png", ".apng"), frames=True),
    ImageFormat("JPEG", "JPEG", (".jpg", ".jpeg", ".jfif", ".jpe")),
    ImageFormat("JPEG 2000", "JPEG2000", (".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c")),
    ImageFormat("WebP", "WEBP", (".webp",), frames=True),
    ImageFormat("BMP", "BMP", (".bmp", ".dib")),
    ImageFormat("TIFF", "TIFF", (".tif", ".tiff"), frames=True),
    ImageFormat("PGM/PPM", "PPM", (".pgm", ".ppm", ".pbm", ".pnm")),
    ImageFormat("GIF", "GIF", (".gif",), frames=True),
    ImageFormat("AVIF", "AVIF", (".avif",), frames=True),
    ImageFormat("HEIC", "HEIF", (".heic", ".heif", ".hif"), extra="heic"),
)

IMAGE_SUFFIXES = frozenset(suffix for each in IMAGE_FORMATS for suffix in each.suffixes)
"""A file with such a suffix, in upper or lower case, is an image of a dataset. Its content may be any format."""

FORMAT_NAMES = ", ".join(each.name for each in IMAGE_FORMATS)

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def installed_formats(*, with_extras: bool) -> tuple[str, ...]:
    """Pillow's names of the formats; those of an extra only `with_extras`."""
    return tuple(each.pillow for each in IMAGE_FORMATS if with_extras or each.extra is None)


def may_be_heic(content: bytes) -> bool:
    """Whether a file begins as a HEIC file does; some AVIF files do too."""
    return content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS
