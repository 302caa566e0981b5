"""Recognises folders that are laid out in another way than the subject pattern says."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from app.dataset_build.errors import SECOND_FOLDER, AlreadyDataset, FacesNested, NoPhotos, SubjectsNotRead
from app.dataset_build.names import Photo
from app.dataset_build.skipped import Skipped, count_reasons
from app.finetune.dataset import HR_FOLDER, PART_FOLDERS, VLR_FOLDER
from app.finetune.dataset_folders import dataset_of
from app.finetune.errors import name_some, printable
from app.finetune.job_warning import JobWarning
from app.finetune.photo_names import without_mark
from app.finetune.subject_patterns import GUIDE_NAME, NAMED_PATTERNS, SubjectPattern

_SPLITS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "gallery", "probe", "probes"}
)
_CONDITION = re.compile(
    "(video|vid|clip|cam|camera|session|sess|seq|sequence|take|shot|frame|day|visit|date|week|month|year|pose|view|"
    "angle|scene|hr|lr|vlr|sr|gt|high|low|res|resolution|image|img|photo|pic|picture|face|crop|cropped|aligned|raw|"
    "original|orig|color|colour|rgb|bw|ir|nir|vis|visible|depth|thermal|gray|grey|left|right|front|frontal|profile|"
    "side|indoor|outdoor|neutral|happy|sad|angry|smile|smiling|surprise|surprised|fear|disgust|light|dark|bright|mask|"
    "masked|glasses|near|far|close|distance|set|part|batch|group|train|training|val|valid|validation|test|testing|"
    "gallery|probe|data|dataset|subset|fold|split|new|old)s?"
)
"""Words of folders that say how images were taken. Nobody is called so."""


def refuse_dataset(faces: Path) -> None:
    """Raise AlreadyDataset if the folder is a dataset or a part of one, or has a dataset directly in it."""
    kinds = {VLR_FOLDER, HR_FOLDER}
    for folder in (faces, *sorted(path for path in faces.iterdir() if path.is_dir())):
        for name in (*PART_FOLDERS.values(), *kinds):
            if (folder / name).is_dir():
                found = folder / name
                raise AlreadyDataset(faces, found, dataset_of(folder)[0] if name in kinds else folder)


def refuse_layout(
    faces: Path,
    pattern: SubjectPattern,
    images: Mapping[Path, str],
    subjects: Mapping[Path, str],
    skipped: Sequence[Skipped],
) -> None:
    """Raise NoPhotos, SubjectsNotRead or FacesNested where the layout is not that of the pattern.

    `images` are the names of all images (see `photo_names.name_of`), `subjects` those of the images that have one.
    """
    if not images:
        raise NoPhotos(faces, count_reasons(skipped))
    if not subjects:
        examples = sorted(printable(path.relative_to(faces)) for path in images)
        raise SubjectsNotRead(faces, examples, pattern, by_other_patterns(images.values(), pattern))
    if pattern.text == "folder":
        _refuse_nested(faces, subjects)


def by_other_patterns(names: Collection[str], tried: SubjectPattern) -> dict[str, tuple[int, int]]:
    """Return the subjects and images that each named pattern, and the second folder, finds, most images first."""
    found: dict[str, tuple[int, int]] = {}
    for text in (*NAMED_PATTERNS, SECOND_FOLDER):
        pattern = SubjectPattern(text)
        its = [subject for name in names if (subject := pattern.subject_of(without_mark(name))) is not None]
        if its and pattern != tried:
            found[text] = (len(set(its)), len(its))
    return dict(sorted(found.items(), key=lambda item: -item[1][1]))


def patterns_with_more(photos: Sequence[Photo], tried: SubjectPattern) -> dict[str, tuple[int, int]]:
    """Return what other patterns find in the photos: those that find more people than `tried`, and several photos of
    one. Only the guide's rule takes no notice of folders, and counts `anna/1.png` and `ben/1.png` as one person."""
    subjects = len({photo.subject for photo in photos})
    flat = not any("/" in photo.name for photo in photos)
    found = by_other_patterns([photo.name for photo in photos], tried)
    return {
        text: counts
        for text, counts in found.items()
        if subjects < counts[0] < counts[1] and (flat or text != GUIDE_NAME)
    }


def nested_warnings(photos: Sequence[Photo], pattern: SubjectPattern) -> Iterator[JobWarning]:
    """Warn where most first folders, the subjects, have subfolders of the same names: cameras with a folder for each
    person. A person's folder may have those of videos or sessions too, so that it is a question of names."""
    below: defaultdict[str, set[str]] = defaultdict(set)
    for photo in photos if pattern.text == "folder" else ():
        first, *others = photo.name.split("/")
        below[first].update(others[:-1][:1])
    counts = Counter(name for names in below.values() for name in names)
    again = sorted(name for name, count in counts.items() if 2 * count > len(below))
    if (
        len(below) < 2
        or len(again) < 2
        or 2 * sum(len(names & set(again)) >= 2 for names in below.values()) <= len(below)
    ):
        return
    conditions = [name for name in again if _is_condition(name) or name.isdigit()]
    if 2 * len(conditions) > len(again) and not all(map(_is_condition, below)):
        return
    yield JobWarning(
        code="subjects_may_be_nested",
        message=f"most of the {len(below)} subjects ({name_some(sorted(below))}) have folders of the same names "
        f"({name_some(again)}): if these are the people, and the subjects are cameras, sessions or the like, build "
        f"with --subject-pattern '{SECOND_FOLDER}'; if each subject is one person, nothing is wrong",
    )


def _is_condition(folder: str) -> bool:
    """Return whether a folder's name describes the taking of images, not a person: `cam1`, `session_2`, `HR`."""
    words = [word for word in re.split(r"[\W\d_]+", folder.casefold()) if word]
    known = [word for word in words if _CONDITION.fullmatch(word)]
    return bool(known) and all(word in known or len(word) == 1 for word in words)


def _refuse_nested(faces: Path, subjects: Mapping[Path, str]) -> None:
    """A person's photos may be in subfolders. But a single folder, or folders called train and val, with nothing but
    folders of images in each, hold the people."""
    below: defaultdict[str, set[str]] = defaultdict(set)
    direct: set[str] = set()
    for path in subjects:
        first, *others = path.relative_to(faces).parts
        if len(others) > 1:
            below[first].add(others[0])
        else:
            direct.add(first)
    folders = sorted(set(subjects.values()))
    if direct or min(map(len, below.values())) < 2:
        return
    if len(below) == 1 or {name.lower() for name in below} <= _SPLITS:
        first = sorted(below)[0]
        raise FacesNested(faces, folders, [f"{printable(first)}/{printable(name)}" for name in sorted(below[first])])
