"""Leaks: one photo in two parts of a dataset or under two names, unless `allowed_leaks` names it.

A part is train, val or test. A photo has a VLR and an HR image, or one of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice
from pathlib import Path

from app.finetune.dataset import ImageFile, JobWarning, Split
from app.finetune.errors import PhotoCopied, UnreadableImages, printable
from app.finetune.same_photo import Look, Print, are_copies, read_look, read_print, similar_pairs

ALLOW_ALL = "*"
"""The entry of `allowed_leaks` that allows every leak."""

_AT_ONCE = 256
_PAIRS_OF_ONE_PHOTO = 10_000
_LOOKS_KEPT = 4096  # 10 kB each


@dataclass(frozen=True)
class PartImage:
    """An image and the part of the dataset it is in."""

    part: str
    image: ImageFile

    @property
    def path(self) -> Path:
        return self.image.path

    @property
    def subject(self) -> str:
        return self.image.subject

    def __str__(self) -> str:
        return f"{self.part} {self.image.name}"


@dataclass(frozen=True)
class Copy:
    """Two images of one photo, in different parts or under different names. `exact`: no pixel differs, though one may
    be the other's mirror image."""

    first: PartImage
    second: PartImage
    exact: bool

    def __str__(self) -> str:
        return f"{self.first} and {self.second}{'' if self.exact else ' (a near-duplicate)'}"


class AllowedLeaks:
    """The leaks that `allowed_leaks` of a config names, and the entries that named one that was found."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = tuple(dict.fromkeys(entries))
        self._used: set[str] = set()

    @property
    def everything(self) -> bool:
        """Whether every leak is allowed, so that none needs to be found."""
        return ALLOW_ALL in self._entries

    def copy(self, copy: Copy) -> bool:
        """Whether it names either file, or both subjects."""
        names = {name for end in (copy.first, copy.second) for name in (end.path.name, end.path.stem, end.image.photo)}
        return self._any(names | _pair(copy.first.subject, copy.second.subject))

    def people(self, first: str, second: str) -> bool:
        """Whether it names both subjects, as `first=second` in either order."""
        return self._any(_pair(first, second))

    def unused_warnings(self, *, people_compared: bool) -> list[JobWarning]:
        """A warning where entries name no leak that was found: a misspelled name, or a leak that is fixed.

        Entries of two subjects count only where people were compared."""
        unused = [
            entry
            for entry in self._entries
            if entry not in self._used and entry != ALLOW_ALL and (people_compared or "=" not in entry)
        ]
        if not unused:
            return []
        return [JobWarning(code="allowed_leaks_unused", message=f"allowed_leaks names no leak: {', '.join(unused)}")]

    def _any(self, names: set[str]) -> bool:
        printed = set(map(printable, names))  # A config names them as messages do.
        found = [entry for entry in self._entries if entry in printed or entry == ALLOW_ALL]
        self._used.update(found)
        return bool(found)


def images_of(parts: Mapping[str, Split]) -> list[Path]:
    """All images of the parts."""
    return [image.path for split in parts.values() for image in (*split.hr_images, *split.vlr_images)]


def read_prints(
    paths: Sequence[Path], *, threads: int, on_images: Callable[[], None] = lambda: None
) -> tuple[dict[Path, Print], dict[Path, str]]:
    """Read each image once: return the prints, and the reason for each file that cannot be read.

    `on_images` is called before each 256 images and may raise.
    """
    prints: dict[Path, Print] = {}
    unreadable: dict[Path, str] = {}
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            on_images()
            some = paths[start : start + _AT_ONCE]
            for path, made in zip(some, pool.map(_print_or_reasons, some), strict=True):
                if isinstance(made, Print):
                    prints[path] = made
                else:
                    unreadable |= made
    return prints, unreadable


def find_copies(
    parts: Mapping[str, Split],
    prints: Mapping[Path, Print],
    *,
    threads: int,
    look: Callable[[Path], Look] = read_look,
    on_images: Callable[[], None] = lambda: None,
) -> list[Copy]:
    """Find all copies, sorted by part and name. `prints` are those of the images of `parts`; an image without one is
    left out.

    Equal pixels are found in VLR and HR images, near-duplicates in the HR images alone: a VLR image has too little
    detail. `look` is called for HR images whose thumbnails resemble each other, in several threads. A photo that a
    subject has several times in one part is returned once. `on_images` is called now and then and may raise. Raises
    what `look` raises: UnreadableImages.
    """
    found: dict[tuple[str, str, str, str], Copy] = {}
    for kind in ("hr_images", "vlr_images"):
        images = [PartImage(part, image) for part, split in parts.items() for image in getattr(split, kind)]
        known = {image: prints[image.path] for image in images if image.path in prints}
        copies = [*exact_copies(known), *(_near_copies(known, threads, look, on_images) if kind == "hr_images" else ())]
        for copy in copies:
            ends = copy.first, copy.second
            found.setdefault(tuple(text for end in ends for text in (end.part, end.image.photo)), copy)
    return [found[key] for key in sorted(found)]


def exact_copies(prints: Mapping[PartImage, Print]) -> Iterator[Copy]:
    """Images with equal pixels, or one with the other's mirrored: of each subject in each part the first of those that
    are equal, and of one photo no more than 10,000 pairs."""
    by_digest: defaultdict[bytes, list[PartImage]] = defaultdict(list)
    for image in _first_of_each(prints):
        by_digest[prints[image].digest].append(image)
    for same in by_digest.values():
        for first, second in islice(combinations(same, 2), _PAIRS_OF_ONE_PHOTO):
            yield Copy(first, second, exact=True)


def refuse_copies(copies: Sequence[Copy], allowed: AllowedLeaks) -> None:
    """Raises PhotoCopied naming those that are not allowed."""
    if refused := [copy for copy in copies if not allowed.copy(copy)]:
        raise PhotoCopied(refused)


def _print_or_reasons(path: Path) -> Print | dict[Path, str]:
    try:
        return read_print(path)
    except UnreadableImages as error:
        return error.reasons


def _near_copies(
    prints: Mapping[PartImage, Print], threads: int, look: Callable[[Path], Look], on_images: Callable[[], None]
) -> Iterator[Copy]:
    images = _first_of_each(prints)
    similar = (
        (images[first], images[second])
        for first, second in similar_pairs([prints[image] for image in images], on_images)
    )
    candidates = (pair for pair in similar if _leaks(*pair) and prints[pair[0]].digest != prints[pair[1]].digest)
    read = lru_cache(_LOOKS_KEPT)(look)

    def copied(pair: tuple[PartImage, PartImage]) -> bool:
        return are_copies(read(pair[0].path), read(pair[1].path))

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        while some := list(islice(candidates, _AT_ONCE)):
            on_images()
            for (first, second), found in zip(some, pool.map(copied, some), strict=True):
                if found:
                    yield Copy(first, second, exact=False)


def _first_of_each(prints: Mapping[PartImage, Print]) -> list[PartImage]:
    """Without those whose pixels are those of an earlier image of the same subject in the same part."""
    first: dict[tuple[str, str, bytes], PartImage] = {}
    for image, made in prints.items():
        first.setdefault((image.part, image.subject, made.digest), image)
    return list(first.values())


def _leaks(first: PartImage, second: PartImage) -> bool:
    return first.part != second.part or first.subject != second.subject


def _pair(first: str, second: str) -> set[str]:
    return {f"{first}={second}", f"{second}={first}"}
