"""Pairs VLR and HR images of one photo that their names do not pair: the HR image reduced is the VLR image.

A photo compared with itself is no genuine pair, so such pairs count in no figure.

Only where most images without a partner have one by their pixels: photos taken seconds apart are nearly as alike, and a
set of cameras against a mugshot has no pairs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.finetune.counted import by_number, counted
from app.finetune.dataset import Split
from app.finetune.errors import name_some
from app.finetune.image_file import ImageFile
from app.finetune.job_warning import JobWarning
from app.finetune.repeated_photos import join_photos, repeated_photos, repeats_warnings
from app.finetune.same_photo import Print

# Shape suffixes: V VLR images, H HR images of one subject, D = 64 pixels.

_THUMBNAIL, _COARSE = 16, 8
_LEAST_CORRELATION = 0.975
_LEAST_SHARE = 0.5

Floats = npt.NDArray[np.float32]


def join_by_content(split: Split, prints: Mapping[Path, Print], part: str) -> tuple[Split, list[JobWarning]]:
    """Return the split, called `part`, in which the images that show one photo by their pixels have one photo: those of
    `repeated_photos`, and the VLR images of `content_pairs` with their HR image. Warn of either."""
    joined = join_photos(split, repeated_photos(split, prints))
    pairs = content_pairs(joined.vlr_images, joined.hr_images, prints)
    photo_of = {vlr.photo: hr.photo for vlr, hr in pairs}
    vlr_images = tuple(replace(image, photo=photo_of.get(image.photo, image.photo)) for image in joined.vlr_images)
    by_pairs = content_pairs_warning(pairs, part)
    warnings = [*repeats_warnings(split, prints, part), *([] if by_pairs is None else [by_pairs])]
    return replace(joined, vlr_images=vlr_images), warnings


def content_pairs(
    vlr: Sequence[ImageFile], hr: Sequence[ImageFile], prints: Mapping[Path, Print]
) -> list[tuple[ImageFile, ImageFile]]:
    """Return VLR images with the HR image of their subject that is most like them, and they most like it, if they
    correlate by 0.975 at 8 x 8 pixels and at least half of the images that could have such a partner do.

    Of each photo the first image counts. Images that a name pairs are left out, and those without a print. On ORL,
    aligned or not, and LFW, VLR images of 8 to 32 px made by three resamplers are most like their own photo in 99.7 %
    to 100 %.
    """
    partners = {image.photo for image in hr} & {image.photo for image in vlr}
    vlr_of, hr_of = (_by_subject(images, partners, prints) for images in (vlr, hr))
    candidates = [subject for subject in vlr_of if subject in hr_of]
    possible = sum(min(len(vlr_of[subject]), len(hr_of[subject])) for subject in candidates)
    pairs = [pair for subject in candidates for pair in _mutual(vlr_of[subject], hr_of[subject], prints)]
    return pairs if pairs and len(pairs) >= _LEAST_SHARE * possible else []


def content_pairs_warning(pairs: Sequence[tuple[ImageFile, ImageFile]], part: str) -> JobWarning | None:
    """Return a warning that such pairs of a part count in no figure, None without any."""
    if not pairs:
        return None
    return JobWarning(
        code="pairs_by_content",
        message=f"{counted(len(pairs), f'{part} VLR image')} {by_number(len(pairs), 'shows', 'show')} the photo of "
        "an HR image with another name "
        f"({name_some([f'{vlr.name} and {hr.name}' for vlr, hr in pairs], 3)}): the figures leave these pairs out, "
        "since each compares a photo with itself; give both images of a photo the same name, apart from marks like "
        "`_LR` and `_HR`",
    )


def _by_subject(
    images: Sequence[ImageFile], partners: set[str], prints: Mapping[Path, Print]
) -> dict[str, list[ImageFile]]:
    of_subject: defaultdict[str, list[ImageFile]] = defaultdict(list)
    first_of = {image.photo: image for image in reversed(images)}
    for image in first_of.values():
        if image.photo not in partners and image.path in prints:
            of_subject[image.subject].append(image)
    return dict(of_subject)


def _mutual(
    vlr: Sequence[ImageFile], hr: Sequence[ImageFile], prints: Mapping[Path, Print]
) -> Iterator[tuple[ImageFile, ImageFile]]:
    correlation_VH = _coarse(vlr, prints) @ _coarse(hr, prints).T
    best_H = correlation_VH.argmax(0)
    for place, best in enumerate(correlation_VH.argmax(1).tolist()):
        if best_H[best] == place and correlation_VH[place, best] >= _LEAST_CORRELATION:
            yield vlr[place], hr[best]


def _coarse(images: Sequence[ImageFile], prints: Mapping[Path, Print]) -> Floats:
    """Return thumbnails of 8 x 8 pixels [N, D] with mean 0 and norm 1."""
    pixels = np.frombuffer(b"".join(prints[image.path].thumbnail for image in images), np.uint8).astype(np.float32)
    halves = pixels.reshape(-1, _COARSE, _THUMBNAIL // _COARSE, _COARSE, _THUMBNAIL // _COARSE)
    coarse_ND = halves.mean((2, 4)).reshape(len(images), -1)
    coarse_ND -= coarse_ND.mean(1, keepdims=True)
    unit_ND: Floats = coarse_ND / np.maximum(np.linalg.norm(coarse_ND, axis=1, keepdims=True), 1e-6)
    return unit_ND
