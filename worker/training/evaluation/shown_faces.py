"""Faces for the report: inputs of some subjects, and the probes recognised best and worst."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.finetune.config import FACE_SIZE
from app.finetune.dataset import ImageFile
from app.finetune.evaluation import Images
from app.finetune.images import read_rgb
from worker.training.data.preprocess import decode, resize_bicubic
from worker.training.evaluation.systems import System
from worker.training.metrics.identification import Searches

_PEOPLE = 8
_PROBES = 6


@dataclass(frozen=True)
class ShownFace:
    """A VLR image and its enlargements by kind; `hr` only if an HR image of the same name exists. All are at most 112
    pixels wide: full photos would add megabytes each to the page."""

    name: str
    vlr: Image.Image
    enlarged: dict[Images, Image.Image]


@dataclass(frozen=True)
class ShownProbe:
    """A probe, the scores (cosines) of its own and of the best other subject, and an HR image of the latter."""

    face: ShownFace
    own: float
    best_other: float
    other: str
    other_face: Image.Image


@dataclass(frozen=True)
class ShownFaces:
    people: list[ShownFace]
    best: list[ShownProbe]
    worst: list[ShownProbe]


def show_faces(searches: Searches, systems: Mapping[Images, System], used: Images) -> ShownFaces:
    """Select the faces. `searches` are those of the `used` probes with all mates. Best and worst rank by the margin of
    the own subject over the best other, with one probe per subject."""
    probes, hr = systems[used].images, {image.photo: image for image in systems["hr"].images}
    hr_of = {image.subject: image for image in reversed(systems["hr"].images)}
    mated = np.flatnonzero(searches.mated_Q & (searches.best_other_Q > -np.inf))
    worst_first = mated[np.argsort((searches.own_Q - searches.best_other_Q)[mated], kind="stable")]

    def face(image: ImageFile) -> ShownFace:
        return _shown(image.path, systems, hr.get(image.photo))

    def probe(search: int) -> ShownProbe:
        other = searches.subjects[searches.other_Q[search]]
        return ShownProbe(
            face=face(probes[searches.probe_Q[search]]),
            own=float(searches.own_Q[search]),
            best_other=float(searches.best_other_Q[search]),
            other=other,
            other_face=_small(read_rgb(hr_of[other].path)),
        )

    first_of = {image.subject: image for image in reversed(probes)}
    return ShownFaces(
        people=[face(first_of[subject]) for subject in sorted(first_of)[:_PEOPLE]],
        best=[probe(search) for search in _of_different_subjects(worst_first[::-1].tolist(), searches)],
        worst=[probe(search) for search in _of_different_subjects(worst_first.tolist(), searches)],
    )


def _of_different_subjects(order: Iterable[int], searches: Searches) -> list[int]:
    chosen: dict[int, int] = {}
    for search in order:
        chosen.setdefault(int(searches.subject_Q[search]), search)
    return list(chosen.values())[:_PROBES]


def _shown(path: Path, systems: Mapping[Images, System], hr: ImageFile | None) -> ShownFace:
    vlr_u8_1CHW = torch.from_numpy(decode(path).copy()).permute(2, 0, 1)[None]
    vlr_size = systems["direct"].vlr_size
    if vlr_size is not None:
        vlr_u8_1CHW = resize_bicubic(vlr_u8_1CHW, vlr_size)
    enlarged: dict[Images, Image.Image] = {
        kind: _image(system.enlarge(vlr_u8_1CHW)) for kind, system in systems.items() if kind != "hr"
    }
    if hr is not None:
        enlarged["hr"] = _small(read_rgb(hr.path))
    return ShownFace(path.name, _small(_image(vlr_u8_1CHW)), enlarged)


def _small(image: Image.Image) -> Image.Image:
    image.thumbnail((FACE_SIZE, FACE_SIZE))
    return image


def _image(face_u8_1CHW: torch.Tensor) -> Image.Image:
    return Image.fromarray(face_u8_1CHW[0].permute(1, 2, 0).numpy())
