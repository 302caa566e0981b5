"""The guide's dataset layout: reads subjects, pairs and problems from VLR and HR folders.

`train_dir/{vlr_images,hr_images}` and `val_dir/{vlr_images,hr_images}`. The subject of an image is what the subject
pattern finds in its name (app/finetune/subject_patterns.py), by default the file name up to the first `_`
(`007_01_01.png` -> `007`). A VLR and an HR image of the same photo are a pair (app/finetune/photo_names.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.finetune.comparison import Incomparable, can_compare, explain
from app.finetune.dataset_errors import (
    FolderEmpty,
    FolderMissing,
    FolderUnreadable,
    NothingToCompare,
    NothingToSelectBy,
    SubjectsNotFound,
    TooFewSubjects,
    TrainHrMissing,
)
from app.finetune.dataset_folders import PART_FOLDERS as PART_FOLDERS
from app.finetune.dataset_folders import TEST_FOLDER as TEST_FOLDER
from app.finetune.dataset_folders import TRAIN_FOLDER as TRAIN_FOLDER
from app.finetune.dataset_folders import VAL_FOLDER as VAL_FOLDER
from app.finetune.dataset_folders import similar_folder
from app.finetune.folder_entries import count_images, list_images
from app.finetune.folder_entries import is_image as is_image
from app.finetune.image_file import ImageFile as ImageFile
from app.finetune.interruption import until_interrupted
from app.finetune.job_warning import JobWarning as JobWarning
from app.finetune.photo_names import find_photos, name_of, near_misses, without_mark
from app.finetune.selection import Selection as Selection
from app.finetune.subject_patterns import GUIDE, SubjectPattern

VLR_FOLDER, HR_FOLDER = "vlr_images", "hr_images"

Roots = Sequence[Path] | None
"""Folders, without a link in their paths, that links in a dataset may lead to. None: any."""


@dataclass(frozen=True)
class Split:
    """One split of a dataset. Images are sorted by path, so that all machines use the same order."""

    directory: Path
    vlr_images: tuple[ImageFile, ...]
    hr_images: tuple[ImageFile, ...]
    pattern: SubjectPattern = GUIDE

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(sorted({image.subject for image in self.vlr_images}))

    @property
    def images(self) -> tuple[ImageFile, ...]:
        """The VLR and the HR images; an image listed as both counts once."""
        return tuple(dict.fromkeys((*self.vlr_images, *self.hr_images)))


@dataclass(frozen=True)
class DatasetScan:
    """Train and val, and the class of each training subject.

    `subject_to_id` is built from train and used for val too. `selection` is the criterion of the best epoch: class
    accuracy if every val subject is in train, else verification AUC (VLR probes, HR gallery).
    """

    train: Split
    val: Split
    subject_to_id: dict[str, int]
    unknown_val_subjects: tuple[str, ...]
    selection: Selection


def scan_dataset(
    train_dir: Path,
    val_dir: Path,
    train_pattern: SubjectPattern = GUIDE,
    val_pattern: SubjectPattern = GUIDE,
    roots: Roots = None,
) -> DatasetScan:
    """List train and val and find their problems by file names, without opening images.

    Raises the exceptions of `scan_split`, TooFewSubjects or NothingToSelectBy if training is impossible.
    """
    train = scan_split(train_dir, train_pattern, hr_required=False, roots=roots)
    val = scan_split(val_dir, val_pattern, hr_required=True, roots=roots)
    if len(train.subjects) < 2:
        raise TooFewSubjects(train_dir, train.subjects, [image.name for image in train.vlr_images], train.pattern)
    subject_to_id = {subject: index for index, subject in enumerate(train.subjects)}
    unknown = tuple(subject for subject in val.subjects if subject not in subject_to_id)
    if unknown and not comparable(val):
        raise NothingToSelectBy(val_dir, *why_not_comparable(val))
    selection: Selection = "verification_auc" if unknown else "val_accuracy"
    return DatasetScan(train, val, subject_to_id, unknown, selection)


def paired_hr(split: Split) -> tuple[ImageFile, ...]:
    """Return the HR image of each VLR image, in order. Raises TrainHrMissing, naming images without one."""
    by_photo = {image.photo: image for image in split.hr_images}
    if missing := [image for image in split.vlr_images if image.photo not in by_photo]:
        names = [image.name for image in missing]
        raise TrainHrMissing(split.directory / HR_FOLDER, names, len(split.vlr_images), near_pairs(split))
    return tuple(by_photo[image.photo] for image in split.vlr_images)


def scan_split(
    directory: Path, pattern: SubjectPattern = GUIDE, *, hr_required: bool = True, roots: Roots = None
) -> Split:
    """List one split. `roots` are the folders that links may lead to, None any.

    Raises FolderMissing, FolderUnreadable, FolderEmpty, FilesNotRegular, LinksLeadOutside or SubjectsNotFound.
    """
    vlr = _list_names(directory, VLR_FOLDER, pattern, roots, required=True)
    hr = _list_names(directory, HR_FOLDER, pattern, roots, required=hr_required)
    photos = find_photos(vlr, hr)
    vlr_images, hr_images = (_with_subjects(directory, names, photos, pattern) for names in (vlr, hr))
    return Split(directory, vlr_images, hr_images, pattern)


def scan_hr(directory: Path, pattern: SubjectPattern = GUIDE, roots: Roots = None) -> Split:
    """List the HR images of one split, and list each as its VLR image too, which is made from it.

    Raises as `scan_split`.
    """
    names = _list_names(directory, HR_FOLDER, pattern, roots, required=True)
    images = _with_subjects(directory, names, find_photos({}, names), pattern)
    return Split(directory, images, images, pattern)


def check_comparable(split: Split) -> None:
    """Raise NothingToCompare unless `comparable`."""
    if not comparable(split):
        raise NothingToCompare(split.directory, *why_not_comparable(split))


def comparable(val: Split) -> bool:
    """Return whether VLR and HR images form a genuine and an impostor pair, without pairs of a photo with itself."""
    return can_compare(val.vlr_images, val.hr_images)


def why_not_comparable(val: Split) -> Incomparable:
    """Return what a split that is not comparable has instead, and what to do about it."""
    return explain(val.directory, val.vlr_images, val.hr_images, val.pattern)


def near_pairs(split: Split) -> list[tuple[str, str]]:
    """Return names of a VLR and an HR image that differ only in case, separators or leading zeros."""
    vlr, hr = ({image.photo for image in images} for images in (split.vlr_images, split.hr_images))
    return near_misses(sorted(vlr - hr), sorted(hr - vlr))


def _list_names(
    directory: Path, kind: str, pattern: SubjectPattern, roots: Roots, *, required: bool
) -> dict[Path, str]:
    """Return the images of a kind, sorted, with their names (see `name_of`)."""
    folder = directory / kind
    try:
        if not directory.is_dir():
            raise FolderMissing(directory, similar=similar_folder(directory))
        if not folder.is_dir():
            if required:
                raise FolderMissing(folder, count_images(directory), similar_folder(folder))
            return {}
        images = list_images(folder, subfolders=pattern.reads_subfolders, roots=roots)
        if required and not images:
            shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
            folders = sorted(path.name for path in shown if path.is_dir())
            raise FolderEmpty(folder, folders, sorted(path.name for path in shown if path.name not in folders))
    except OSError as error:
        raise FolderUnreadable(directory, error) from None
    return {path: name_of(path, folder) for path in images}


def _with_subjects(
    directory: Path, names: dict[Path, str], photos: dict[Path, str], pattern: SubjectPattern
) -> tuple[ImageFile, ...]:
    found = {path: pattern.subject_of(without_mark(name)) for path, name in until_interrupted(names.items())}
    if unknown := [names[path] for path, subject in found.items() if subject is None]:
        raise SubjectsNotFound(directory, unknown, len(names), pattern)
    return tuple(ImageFile(path, subject, photos[path]) for path, subject in found.items() if subject is not None)
