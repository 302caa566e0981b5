"""The guide's dataset layout: reads subjects, pairs and problems from VLR and HR folders.

`train_dir/{vlr_images,hr_images}` and `val_dir/{vlr_images,hr_images}`. The subject is the file name up to the first
`_` (`007_01_01.png` -> `007`). A VLR and an HR image of the same name are a pair, whatever their suffixes
(`007_01_01.png` and `007_01_01.jpg`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.finetune.dataset_folders import PART_FOLDERS as PART_FOLDERS
from app.finetune.dataset_folders import TEST_FOLDER as TEST_FOLDER
from app.finetune.dataset_folders import TRAIN_FOLDER as TRAIN_FOLDER
from app.finetune.dataset_folders import VAL_FOLDER as VAL_FOLDER
from app.finetune.errors import (
    FolderEmpty,
    FolderMissing,
    FolderUnreadable,
    NothingToSelectBy,
    TooFewSubjects,
    TrainHrMissing,
    name_some,
)
from app.finetune.images import IMAGE_SUFFIXES
from app.finetune.job_warning import JobWarning as JobWarning
from app.finetune.selection import Selection as Selection

BICUBIC_ENLARGEMENT = JobWarning(
    code="bicubic_enlargement",
    message="no DSR weights are given: VLR faces are enlarged by bicubic interpolation",
)


def subject_of(file_name: str) -> str:
    """Return the subject of a file: its stem up to the first `_`."""
    return Path(file_name).stem.split("_", 1)[0]


def image_name(path: Path) -> str:
    """Return the name that the VLR and the HR image of a photo share: the file name without its suffix."""
    return path.stem


@dataclass(frozen=True)
class Split:
    """One split of a dataset. Images are sorted by file name, so that all machines use the same order."""

    directory: Path
    vlr_images: tuple[Path, ...]
    hr_images: tuple[Path, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(sorted({subject_of(path.name) for path in self.vlr_images}))


@dataclass(frozen=True)
class DatasetScan:
    """Train and val, the class of each training subject, and warnings.

    `subject_to_id` is built from train and used for val too. `selection` is the criterion of the best epoch: class
    accuracy if every val subject is in train, else verification AUC (VLR probes, HR gallery).
    """

    train: Split
    val: Split
    subject_to_id: dict[str, int]
    unknown_val_subjects: tuple[str, ...]
    selection: Selection
    warnings: tuple[JobWarning, ...]


def scan_dataset(train_dir: Path, val_dir: Path) -> DatasetScan:
    """List train and val and find their problems by file names, without opening images.

    Raises FolderMissing, FolderUnreadable, FolderEmpty, TooFewSubjects or NothingToSelectBy if training is impossible.
    """
    train = scan_split(train_dir, hr_required=False)
    val = scan_split(val_dir, hr_required=True)
    if len(train.subjects) < 2:
        raise TooFewSubjects(train_dir, train.subjects)
    subject_to_id = {subject: index for index, subject in enumerate(train.subjects)}
    unknown = tuple(subject for subject in val.subjects if subject not in subject_to_id)
    if unknown and not comparable(val):
        raise NothingToSelectBy(val_dir)
    selection: Selection = "verification_auc" if unknown else "val_accuracy"
    return DatasetScan(train, val, subject_to_id, unknown, selection, tuple(_warnings(train, val, unknown)))


def paired_hr(split: Split) -> tuple[Path, ...]:
    """Return the HR image of each VLR image, in order. Raises TrainHrMissing, naming images without one."""
    by_name = {image_name(path): path for path in split.hr_images}
    if missing := [path.name for path in split.vlr_images if image_name(path) not in by_name]:
        raise TrainHrMissing(split.directory / "hr_images", missing, len(split.vlr_images))
    return tuple(by_name[image_name(path)] for path in split.vlr_images)


def scan_split(directory: Path, *, hr_required: bool = True) -> Split:
    """List one split. Raises FolderMissing, FolderUnreadable or FolderEmpty."""
    try:
        if not directory.is_dir():
            raise FolderMissing(directory)
        vlr_images = _list_images(directory / "vlr_images", required=True)
        hr_images = _list_images(directory / "hr_images", required=hr_required)
    except OSError as error:
        raise FolderUnreadable(directory, error) from None
    return Split(directory, vlr_images, hr_images)


def scan_hr(directory: Path) -> Split:
    """List the HR images of one split, and list each as its VLR image too, which is made from it.

    Raises FolderMissing, FolderUnreadable or FolderEmpty.
    """
    try:
        if not directory.is_dir():
            raise FolderMissing(directory)
        hr_images = _list_images(directory / "hr_images", required=True)
    except OSError as error:
        raise FolderUnreadable(directory, error) from None
    return Split(directory, hr_images, hr_images)


def _list_images(folder: Path, *, required: bool) -> tuple[Path, ...]:
    if not folder.is_dir():
        if required:
            raise FolderMissing(folder)
        return ()
    images = tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES))
    if required and not images:
        raise FolderEmpty(folder)
    return images


def _warnings(train: Split, val: Split, unknown: Sequence[str]) -> Iterable[JobWarning]:
    if unknown:
        known = len(val.subjects) - len(unknown)
        yield JobWarning(
            code="val_subjects_unknown",
            message=f"{len(unknown)} of {len(val.subjects)} val subjects are not in train ({name_some(unknown)}): "
            "epochs are scored by verification AUC between VLR probes and HR gallery, and class accuracy is "
            + (f"given for the {known} known ones only" if known else "not given"),
        )
    yield from split_warnings(train, "train")
    yield from split_warnings(val, "val")
    counts = Counter(subject_of(path.name) for path in train.vlr_images)
    if singles := sorted(subject for subject, count in counts.items() if count == 1):
        yield JobWarning(
            code="subject_with_one_image",
            message=f"{len(singles)} train subjects have a single image ({name_some(singles)}): they teach little",
        )


def split_warnings(split: Split, name: str) -> Iterable[JobWarning]:
    """Return the warnings about a split called `name`."""
    if without_hr := _without(split.hr_images, split.vlr_images):
        yield JobWarning(
            code="hr_missing",
            message=f"{len(without_hr)} {name} VLR images have no HR image of the same name ({name_some(without_hr)})",
        )
    if without_vlr := _without(split.vlr_images, split.hr_images):
        yield JobWarning(
            code="vlr_missing",
            message=f"{len(without_vlr)} {name} HR images have no VLR image of the same name "
            f"({name_some(without_vlr)})",
        )
    if unnamed := [path.name for path in split.vlr_images if "_" not in path.stem]:
        yield JobWarning(
            code="subject_unclear",
            message=f"{len(unnamed)} {name} file names have no `_`, so each whole name counts as a subject "
            f"({name_some(unnamed)})",
        )
    for folder in ("vlr_images", "hr_images"):
        if ignored := _other_files(split.directory / folder):
            yield JobWarning(
                code="files_ignored",
                message=f"{len(ignored)} entries in {name} {folder} are not images and are ignored "
                f"({name_some(ignored)})",
            )


def _without(others: Iterable[Path], images: Iterable[Path]) -> list[str]:
    """Return the file names of the images without an image of the same name among the others."""
    names = {image_name(path) for path in others}
    return [path.name for path in images if image_name(path) not in names]


def comparable(val: Split) -> bool:
    """Return whether VLR and HR images form a genuine and an impostor pair, without pairs of an image with itself."""
    hr_names: dict[str, set[str]] = {}
    for path in val.hr_images:
        hr_names.setdefault(subject_of(path.name), set()).add(image_name(path))
    genuine = any(hr_names.get(subject_of(path.name), set()) - {image_name(path)} for path in val.vlr_images)
    return genuine and len(hr_names.keys() | set(val.subjects)) > 1


def _other_files(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() not in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
