"""Finds images of one subject with the same pixels under different names, as `s01_01.png` and `s01_01-copy.png`.

They show one photo. In the parts that figures are measured on, their pairs would compare a photo with itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.finetune.counted import counted
from app.finetune.dataset import Split
from app.finetune.errors import name_some
from app.finetune.image_file import ImageFile
from app.finetune.job_warning import JobWarning
from app.finetune.same_photo import Print

Repeats = Sequence[tuple[ImageFile, ImageFile]]
"""Images, each with an earlier image of its subject that has the same pixels and another photo."""


def repeated_photos(split: Split, prints: Mapping[Path, Print]) -> Repeats:
    """Return the images whose pixels, or mirrored pixels, an earlier image of their subject has under another name.

    Images without a print and those of one colour are left out: black images do not show one photo.
    """
    first: dict[tuple[str, bytes], ImageFile] = {}
    repeats: list[tuple[ImageFile, ImageFile]] = []
    for image in dict.fromkeys((*split.hr_images, *split.vlr_images)):
        its = prints.get(image.path)
        if its is None or len(set(its.thumbnail)) == 1:
            continue
        same = first.setdefault((image.subject, its.digest), image)
        if same.photo != image.photo:
            repeats.append((image, same))
    return repeats


def join_photos(split: Split, repeats: Repeats) -> Split:
    """Return the split in which the VLR and HR images of photos that are repeats of each other have one photo."""
    joined: dict[str, str] = {}

    def joint(photo: str) -> str:
        while photo in joined:
            photo = joined[photo]
        return photo

    for image, same in repeats:
        photo, earlier = joint(image.photo), joint(same.photo)
        if photo != earlier:
            joined[photo] = earlier
    vlr, hr = (
        tuple(replace(image, photo=joint(image.photo)) for image in images)
        for images in (split.vlr_images, split.hr_images)
    )
    return replace(split, vlr_images=vlr, hr_images=hr)


def repeats_warnings(split: Split, prints: Mapping[Path, Print], part: str) -> list[JobWarning]:
    """Return a warning where images of the split, called `part`, repeat others."""
    repeats = repeated_photos(split, prints)
    if not repeats:
        return []
    names = name_some([f"{_named(same)} and {_named(image)}" for image, same in repeats], 3)
    result = (
        "the training sees these photos more often than others"
        if part == "train"
        else "the figures leave out the pairs of such images, since each compares a photo with itself"
    )
    count = counted(len(repeats), f"{part} image")
    warning = JobWarning(
        code="photos_repeated",
        message=f"{count} with the pixels of another image of the same subject ({names}): {result}; "
        "keep one file of each photo",
    )
    return [warning]


def _named(image: ImageFile) -> str:
    return f"{image.path.parent.name}/{image.name}"
