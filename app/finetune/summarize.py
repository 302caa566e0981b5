"""Makes the SplitSummary of a split that was listed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, Split, comparable, is_image, near_pairs
from app.finetune.image_file import ImageFile
from app.finetune.photo_names import without_mark
from app.finetune.split_summary import SomeNames, SplitSummary
from app.finetune.subject_groups import describe_groups, subject_groups
from app.finetune.subject_patterns import GUIDE


def summarize(split: Split) -> SplitSummary:
    """Summarize a split that `scan_split` returned."""
    folders = {VLR_FOLDER: split.vlr_images, HR_FOLDER: split.hr_images}
    by_guide = split.images if split.pattern == GUIDE else ()
    groups = subject_groups(dict.fromkeys((image.subject, without_mark(image.path.stem)) for image in by_guide))
    unnamed = [image.name for image in split.vlr_images if "_" not in image.path.stem]
    return SplitSummary(
        vlr_subjects=_subjects(split.vlr_images),
        hr_subjects=_subjects(split.hr_images),
        comparable=comparable(split),
        hr_comparable=comparable(Split(split.directory, split.hr_images, split.hr_images, split.pattern)),
        without_hr=SomeNames.of(_without(split.hr_images, split.vlr_images)),
        without_vlr=SomeNames.of(_without(split.vlr_images, split.hr_images)),
        near=SomeNames.of([f"{first} and {second}" for first, second in near_pairs(split)]),
        without_underscore=SomeNames.of(unnamed if split.pattern == GUIDE else []),
        subject_groups=SomeNames.of(describe_groups(groups)),
        same_names={folder: SomeNames.of(_names_of_several(images)) for folder, images in folders.items()},
        ignored={
            folder: SomeNames.of(_other_files(split.directory / folder, {image.path for image in images}))
            for folder, images in folders.items()
        },
    )


def summarize_hr(split: Split) -> SplitSummary:
    """Summarize a split that `scan_hr` returned: one without VLR images."""
    return summarize(Split(split.directory, (), split.hr_images, split.pattern))


def _subjects(images: Iterable[ImageFile]) -> dict[str, int]:
    return dict(Counter(image.subject for image in images))


def _without(others: Iterable[ImageFile], images: Iterable[ImageFile]) -> list[str]:
    """Return the file names of the images without an image of the same photo among the others."""
    photos = {image.photo for image in others}
    return [image.name for image in images if image.photo not in photos]


def _names_of_several(images: Sequence[ImageFile]) -> list[str]:
    counts = Counter(image.path.with_suffix("") for image in images)
    return [image.name for image in images if counts[image.path.with_suffix("")] > 1]


def _other_files(folder: Path, images: set[Path]) -> list[str]:
    """Return the entries that are neither images nor hidden nor folders with images."""
    if not folder.is_dir():
        return []
    with_images = {parent for image in images for parent in image.parents}
    return sorted(
        path.name
        for path in folder.iterdir()
        if not (path in images or path in with_images or path.name.startswith("."))
        and (not is_image(path) or path.is_dir())
    )
