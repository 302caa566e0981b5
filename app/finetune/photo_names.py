"""Which VLR and HR images show one photo, by their file names.

Two images are one photo if their names are equal without suffix and without resolution mark (`_LR`, `_HR`, `x4`). Names
are compared in Unicode's form NFC, since macOS stores them in NFD.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from app.finetune.errors import printable

_MARK = re.compile(r"(?<=.)[-_.](?:vlr|lr|hr|gt)(?:x\d\d?)?\Z|(?:(?<=\d)|(?<=.)[-_.])x(?:2|3|4|8|16)\Z", re.IGNORECASE)
"""Marks of a resolution at the end of a name, as in `s01_LR.png` and DIV2K's `0801x4.png`."""

Names = Mapping[Path, str]


def name_of(path: Path, folder: Path) -> str:
    """Return the path relative to the folder of images: NFC, with `/`, without suffix, bytes that are not UTF-8
    escaped."""
    return unicodedata.normalize("NFC", printable(path.relative_to(folder).with_suffix("").as_posix()))


def without_mark(name: str) -> str:
    """Return the name without resolution mark."""
    return _MARK.sub("", name)


def find_photos(vlr: Names, hr: Names) -> dict[Path, str]:
    """Return the photo of each image from the images' names (see `name_of`).

    The photo is the name without mark. Where that is not unique, it is the name, and for files that differ only in
    their suffix (`01.png` and `01.jpg`) the name with its suffix. A photo may have several VLR images of different
    marks, but only one HR image.
    """
    photos: dict[Path, str] = {}
    rest = [dict(vlr), dict(hr)]
    shortenings: list[Callable[[Path, str], str]] = [
        lambda _, name: without_mark(name),
        lambda _, name: name,
        lambda path, name: name + path.suffix,
    ]
    for shortened in shortenings:
        named = [{path: shortened(path, name) for path, name in names.items()} for names in rest]
        unclear = _unclear(named[0], rest[0], named[1])
        for keys, names in zip(named, rest, strict=True):
            for path, key in keys.items():
                if key not in unclear:
                    photos[path] = key
                    del names[path]
    return photos | {path: path.name for names in rest for path in names}


def _unclear(vlr_keys: Names, vlr_names: Names, hr_keys: Names) -> set[str]:
    """The keys that several HR images have, or several VLR images of equal names, or several VLR images without HR."""
    in_hr, in_vlr = Counter(hr_keys.values()), Counter(vlr_keys.values())
    named = Counter((key, vlr_names[path]) for path, key in vlr_keys.items())
    same_name = {key for (key, _), count in named.items() if count > 1}
    no_hr = {key for key, count in in_vlr.items() if count > 1 and not in_hr[key]}
    return {key for key, count in in_hr.items() if count > 1} | same_name | no_hr


def near_misses(missing: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of names that differ only in case, separators or leading zeros."""
    by_form = {_loose(name): name for name in others}
    return [(name, by_form[_loose(name)]) for name in missing if _loose(name) in by_form]


def _loose(name: str) -> str:
    without_zeros = re.sub(r"\d+", lambda digits: digits[0].lstrip("0") or "0", name)
    return re.sub(r"[\s_.-]+", "", without_zeros).casefold()
