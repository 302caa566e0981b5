"""Names of built images: `SUBJECT_REST.png`, where the subject has no `_`, so that the guide's rule reads it.

No two are equal, also where capitals do not count (macOS, Windows), and none is too long for a file system.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from app.finetune.counted import by_number, counted
from app.finetune.errors import name_some
from app.finetune.job_warning import JobWarning
from app.finetune.photo_names import near_misses

_LONGEST_SUBJECT = 90
_LONGEST_REST = 120
"""Bytes; a file system allows 255 for a name."""

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Photo:
    """A photo below FACES. `name` is its path without suffix, `subject` the one that the pattern finds in it, `label`
    the subject's name in the dataset, and `file_name` the name of the photo's HR and VLR image."""

    path: Path
    name: str
    subject: str
    label: str
    file_name: str


def name_photos(subjects: Mapping[Path, str], names: Mapping[Path, str]) -> list[Photo]:
    """Name the photos, which are given by path with their subjects and their names (see `photo_names.name_of`)."""
    labels = label_subjects(subjects.values())
    wanted = {path: _wanted(labels[subject], _rest(names[path], subject)) for path, subject in subjects.items()}
    taken = Counter(name.casefold() for name in wanted.values())
    suffixes = defaultdict(list)
    for path, name in wanted.items():
        suffixes[name.casefold()].append(path.suffix.lower())
    for path, name in list(wanted.items()):
        its = suffixes[name.casefold()]
        if taken[name.casefold()] == len(set(its)) > 1:  # they differ in their suffixes alone
            wanted[path] = f"{name}-{path.suffix[1:].lower()}"
    distinct = make_distinct(wanted, lambda _: False)
    return [
        Photo(path, names[path], subject, labels[subject], f"{distinct[path]}.png")
        for path, subject in subjects.items()
    ]


def label_subjects(subjects: Iterable[str]) -> dict[str, str]:
    """Return the name of each subject in the dataset: without `_`, white space and `/`, each a different one."""
    found = sorted(set(subjects))
    wanted = {subject: _shortened(re.sub(r"^\.|[_\s/]+", "-", subject), _LONGEST_SUBJECT) for subject in found}
    return make_distinct(wanted, lambda subject: wanted[subject] == subject)


def make_distinct(wanted: Mapping[_Key, str], keeps: Callable[[_Key], bool]) -> dict[_Key, str]:
    """Return the wanted names. Where several are equal but for capitals, one keeps it, by choice one for which
    `keeps` is true, and the others get a number."""
    taken = {name.casefold() for name in wanted.values()}
    held: set[str] = set()
    names: dict[_Key, str] = {}
    for key in sorted(wanted, key=lambda key: not keeps(key)):
        name, number = wanted[key], 1
        while name.casefold() in held or (number > 1 and name.casefold() in taken):
            number += 1
            name = f"{wanted[key]}-{number}"
        held.add(name.casefold())
        names[key] = name
    return {key: names[key] for key in wanted}


def name_warnings(photos: Iterable[Photo]) -> Iterable[JobWarning]:
    """Return warnings about subjects that may be one person, and about files that would have the same name."""
    photos = list(photos)
    label_of = {photo.subject: photo.label for photo in photos}
    labels = sorted(label_of)
    alike = sorted({tuple(sorted(pair)) for pair in near_misses(labels, labels) if pair[0] != pair[1]})
    if alike:
        pairs = [" and ".join(f"{subject!r} as {label_of[subject]}" for subject in pair) for pair in alike]
        yield JobWarning(
            code="subjects_named_alike",
            message=f"subjects whose names differ only in case, separators or leading zeros are built as different "
            f"people: {name_some(pairs)}; if they are one person, use one name",
        )
    renamed = [photo for photo in photos if photo.file_name != _plain_name(photo)]
    if renamed:
        examples = [f"{photo.path.name} as {photo.file_name}" for photo in renamed]
        yield JobWarning(
            code="names_made_distinct",
            message=f"{counted(len(renamed), 'photo')} would have the name of another, or one too long, and "
            f"{by_number(len(renamed), 'is', 'are')} built under another name ({name_some(examples)})",
        )


def _plain_name(photo: Photo) -> str:
    return f"{photo.label}_{_hyphenated(_rest(photo.name, photo.subject))}.png"


def _rest(name: str, subject: str) -> str:
    """Return the name without its subject, if it begins with it."""
    rest = name.removeprefix(subject)
    return rest[1:] if rest != name and rest[1:] and rest[0] in "_/-. " else name


def _wanted(label: str, rest: str) -> str:
    return f"{label}_{_shortened(_hyphenated(rest), _LONGEST_REST)}"


def _hyphenated(rest: str) -> str:
    return re.sub(r"[\s/]+", "-", rest)


def _shortened(text: str, most: int) -> str:
    """Cut a text of more than `most` bytes, and end it with a digest of all of it."""
    content = text.encode()
    if len(content) <= most:
        return text
    digest = hashlib.sha256(content).hexdigest()[:8]
    return f"{content[: most - 9].decode(errors='ignore')}-{digest}"
