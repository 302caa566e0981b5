"""The photos below a folder, with their subjects and the names that they are built under."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.dataset_build.layout import refuse_dataset, refuse_layout
from app.dataset_build.names import Photo, name_photos
from app.dataset_build.skipped import Reason, Skipped
from app.finetune.dataset_errors import FolderMissing, FolderUnreadable
from app.finetune.errors import printable
from app.finetune.images import IMAGE_SUFFIXES
from app.finetune.photo_names import name_of, without_mark
from app.finetune.subject_patterns import SubjectPattern

FOLDER = SubjectPattern("folder")
"""The default: a folder for each subject."""

_SYSTEM_FOLDERS = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information"})
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_ZONE = ":zone.identifier"
"""Windows writes it behind the name of a downloaded file."""


@dataclass(frozen=True)
class FoundPhotos:
    """The photos in order of their paths, and everything else below the folder."""

    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...]
    subjects: frozenset[str] = field(default_factory=frozenset)
    """Those that any file names, built or skipped."""


def find_photos(folder: Path, pattern: SubjectPattern) -> FoundPhotos:
    """List all files below the folder, whatever their depth, following links.

    Raises FolderMissing, FolderUnreadable, AlreadyDataset, NoPhotos, SubjectsNotRead or FacesNested.
    """
    if not folder.is_dir():
        raise FolderMissing(folder)
    refuse_dataset(folder)
    skipped: list[Skipped] = []
    images: dict[Path, str] = {}
    subjects: dict[Path, str] = {}
    for entry in _walk(folder, folder, (os.path.realpath(folder),)):
        if isinstance(entry, Skipped):
            skipped.append(entry)
            continue
        name = name_of(entry, folder)
        subject = pattern.subject_of(without_mark(name)) or pattern.subject_of(name)
        path = printable(entry.relative_to(folder).as_posix())
        if entry.suffix.lower() not in IMAGE_SUFFIXES:
            kind = entry.suffix.lower() or "without a suffix"
            # Other files do not name people unless they are in the person's folder: a readme.txt is none.
            skipped.append(Skipped(path, "not_an_image", kind, subject if pattern == FOLDER else None))
            continue
        images[entry] = name
        if subject is None:
            skipped.append(Skipped(path, "no_subject", f"the subject is {pattern}"))
        else:
            subjects[entry] = subject
    refuse_layout(folder, pattern, images, subjects, skipped)
    named = name_photos(subjects, {path: images[path] for path in subjects})
    everybody = {*subjects.values(), *(each.subject for each in skipped if each.subject is not None)}
    return FoundPhotos(tuple(named), tuple(skipped), frozenset(everybody))


def _walk(folder: Path, top: Path, above: tuple[str, ...]) -> Iterator[Path | Skipped]:
    """Yield the regular files below the folder, sorted, and what is skipped by its name or kind. `above` are the real
    paths of the folders that lead here."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise FolderUnreadable(folder, error) from None
    if not entries and folder != top:
        yield Skipped(f"{_relative(folder, top)}/", "empty_folder", files=0)
    for entry in entries:
        path, is_folder = _relative(entry, top), entry.is_dir()
        if (left_out := _skipped_by_name(entry.name, is_folder=is_folder)) is not None:
            yield Skipped(f"{path}/" if is_folder else path, left_out, files=_count(entry) if is_folder else 1)
        elif is_folder:
            real = os.path.realpath(entry)
            if real in above:
                yield Skipped(path, "link_loop")
            else:
                yield from _walk(entry, top, (*above, real))
        elif entry.is_file() or entry.is_symlink():  # reading a dangling link says what is wrong
            yield entry
        else:
            yield Skipped(path, "not_a_file")


def _skipped_by_name(name: str, *, is_folder: bool) -> Reason | None:
    if name.startswith("."):
        return "hidden"
    lower = name.lower()
    is_system = lower in _SYSTEM_FOLDERS if is_folder else lower in _SYSTEM_FILES or lower.endswith(_ZONE)
    return "system_file" if is_system else None


def _count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _relative(path: Path, top: Path) -> str:
    return printable(path.relative_to(top).as_posix())
