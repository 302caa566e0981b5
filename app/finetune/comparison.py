"""Whether the VLR and HR images of a split can be compared, and if not, why not and what to do."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from app.finetune.counted import counted
from app.finetune.errors import name_some
from app.finetune.image_file import ImageFile
from app.finetune.photo_names import name_of, near_misses, without_mark
from app.finetune.subject_patterns import GUIDE_NAME, NAMED_PATTERNS, SubjectPattern

_FURTHER_PATTERNS = (r"(.+)[-_. ]+\d+", r"(\D+)\d+")
"""Patterns of names that no named one reads: `s05-01`, `anna1`."""


class Incomparable(NamedTuple):
    """Why no two images can be compared, and what to do, both in words."""

    why: str
    hint: str


def can_compare(vlr: Sequence[ImageFile], hr: Sequence[ImageFile]) -> bool:
    """Return whether VLR and HR images form a genuine and an impostor pair, without pairs of a photo with itself."""
    photos_of: defaultdict[str, set[str]] = defaultdict(set)
    for image in hr:
        photos_of[image.subject].add(image.photo)
    genuine = any(photos_of.get(image.subject, set()) - {image.photo} for image in vlr)
    return genuine and len(photos_of.keys() | {image.subject for image in vlr}) > 1


def explain(
    directory: Path, vlr: Sequence[ImageFile], hr: Sequence[ImageFile], pattern: SubjectPattern
) -> Incomparable:
    """Return why images in `directory` of which `can_compare` is false cannot be compared."""
    why, advice = _reason(vlr, hr, pattern)
    if near := _near(vlr, hr):
        return Incomparable(
            why, f"name the VLR and the HR images alike, letter by letter; these do not match: {name_some(near)}"
        )
    if (other := _better_pattern(directory, vlr, hr, pattern)) is not None:
        text, subjects = other
        return Incomparable(
            why,
            f"by the subject_pattern {text} there are {counted(len(subjects), 'subject')} ({name_some(subjects)}): "
            f"register the dataset with it, or rename the images; else {advice}",
        )
    return Incomparable(why, advice)


def _reason(vlr: Sequence[ImageFile], hr: Sequence[ImageFile], pattern: SubjectPattern) -> tuple[str, str]:
    of_vlr, of_hr = ({image.subject for image in images} for images in (vlr, hr))
    everybody = sorted(of_vlr | of_hr)
    rule = f"the subject is {pattern}"
    rename = "if the images show others, rename them or choose another subject_pattern (docs/datasets.md lists them)"
    if not of_vlr & of_hr:
        return (
            f"no subject has VLR and HR images: vlr_images/ has {name_some(sorted(of_vlr))}, hr_images/ has "
            f"{name_some(sorted(of_hr))} ({rule})",
            "give each subject images in vlr_images/ and in hr_images/ under one name; if they show the same people, "
            "rename them or choose another subject_pattern (docs/datasets.md lists them)",
        )
    if len(everybody) < 2:
        return (
            f"its only subject is {name_some(everybody)} ({rule})",
            f"add images of a second subject, in vlr_images/ and hr_images/; {rename}",
        )
    photos_of: defaultdict[str, set[str]] = defaultdict(set)
    for image in (*vlr, *hr):
        photos_of[image.subject].add(image.photo)
    names = name_some([image.name for image in vlr])
    second = (
        "add a second photo of a subject, its VLR image in vlr_images/ and its HR image in hr_images/; if several "
        "images show one person, rename them or choose another subject_pattern (docs/datasets.md lists them)"
    )
    if max(map(len, photos_of.values())) == 1:
        return f"each of its {len(everybody)} subjects has a single photo, as in {names} ({rule})", second
    return f"no subject has a VLR image and the HR image of another photo, as in {names} ({rule})", second


def _near(vlr: Sequence[ImageFile], hr: Sequence[ImageFile]) -> list[str]:
    """Return the photos, else the subjects, of VLR and HR images that differ only in case, separators or zeros."""
    photos = [{image.photo for image in images} for images in (vlr, hr)]
    subjects = [{image.subject for image in images} for images in (vlr, hr)]
    for of_vlr, of_hr in (photos, subjects):
        if near := near_misses(sorted(of_vlr - of_hr), sorted(of_hr - of_vlr)):
            return [f"{first} and {second}" for first, second in near]
    return []


def _better_pattern(
    directory: Path, vlr: Sequence[ImageFile], hr: Sequence[ImageFile], pattern: SubjectPattern
) -> tuple[str, list[str]] | None:
    """Return a pattern by which the images can be compared, with the subjects that it finds."""
    for text in (*NAMED_PATTERNS, *_FURTHER_PATTERNS):
        if text not in (pattern.text, GUIDE_NAME):
            other = SubjectPattern(text)
            its_vlr, its_hr = (list(_by(other, directory, images)) for images in (vlr, hr))
            if (len(its_vlr), len(its_hr)) == (len(vlr), len(hr)) and can_compare(its_vlr, its_hr):
                return text, sorted({image.subject for image in (*its_vlr, *its_hr)})
    return None


def _by(pattern: SubjectPattern, directory: Path, images: Sequence[ImageFile]) -> Iterator[ImageFile]:
    """Yield the images that have a subject by the pattern, with it."""
    for image in images:
        folder = directory / image.path.relative_to(directory).parts[0]
        subject = pattern.subject_of(without_mark(name_of(image.path, folder)))
        if subject is not None:
            yield replace(image, subject=subject)
