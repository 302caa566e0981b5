"""Samples of the faces of a run, and how long it takes to prepare all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from app.finetune.config import FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import DatasetScan, ImageFile, paired_hr
from worker.training.data.face_cache import PreparedFaces, prepared_key
from worker.training.data.fp16_enlargement import Fp16Enlargement
from worker.training.data.preprocess import Enlarge, enlarge_bicubic, enlarge_images
from worker.training.data.synthetic_identities import draw_identities, synthetic_key
from worker.training.data.val_faces import ValFaces
from worker.training.runtime.control import Control
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.storage.digests import InputDigests, refuse_unreadable

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112; _u8 is uint8 in 0..255.

SAMPLED = 64
"""The number of images of a kind that are decoded and enlarged, the first _WARM of them twice."""

_WARM = 8

TRIAL_IDENTITIES = 8
"""The most synthetic identities that are made."""


@dataclass(frozen=True)
class Sample:
    """Some faces of a kind, uint8 [N, 3, 112, 112].

    `seconds` is the time to prepare all faces of the kind, `missing` the number that is not prepared yet, and `unseen`
    the number that is not in the sample.
    """

    faces_u8_NCHW: Tensor
    seconds: float
    missing: int
    unseen: int

    def repeated(self, count: int) -> Tensor:
        """`count` faces, the same ones again where the sample has fewer."""
        return self.faces_u8_NCHW[torch.arange(count) % len(self.faces_u8_NCHW)]


NO_FACES = Sample(torch.empty(0), 0.0, 0, 0)


@dataclass(frozen=True)
class Samples:
    """Of the train set's VLR faces and, where the run reads them, its HR faces; and of val's probes and gallery."""

    train: Sample
    train_hr: Sample | None
    probes: Sample
    gallery: Sample

    @property
    def all(self) -> list[Sample]:
        return [self.train, self.probes, self.gallery, *([] if self.train_hr is None else [self.train_hr])]

    def val(self, scan: DatasetScan) -> ValFaces:
        """With the names of all files of val, of which it has only some faces."""
        probes, gallery = self.probes.faces_u8_NCHW, self.gallery.faces_u8_NCHW
        return ValFaces(probes, scan.val.vlr_images, gallery, scan.val.hr_images, scan.subject_to_id)


def sample_faces(
    config: FinetuneConfig,
    scan: DatasetScan,
    inputs: InputDigests,
    by_dsr: Enlarge | None,
    in_fp16: Fp16Enlargement | None,
    prepared_dir: Path,
    control: Control,
    on_sample: Callable[[int], None] = lambda _: None,
) -> Samples:
    """`by_dsr` and `in_fp16` as in `read_dataset`. `on_sample` is called with the number of images of each sample.

    Raises UnreadableImages, of the sampled images alone, and StopRequested.
    """
    store = PreparedFaces(prepared_dir, control)
    train_hr = () if inputs.train_hr is None else paired_hr(scan.train)
    enlarge = by_dsr or enlarge_bicubic

    def sample(images: Sequence[ImageFile], key: str, enlarge: Enlarge, vlr_size: int | None) -> Sample:
        timer = PhaseTimer()
        with timer.phase("find"):
            kept = store.find(key, len(images))
        chosen = spread(len(images), SAMPLED)
        if kept is not None:
            return Sample(kept.pixels_u8[chosen], timer.seconds["find"], 0, len(images) - len(chosen))
        some = [images[index].path for index in chosen.tolist()]
        refuse_unreadable(some, config.num_workers, control)
        make = partial(_enlarged, enlarge=enlarge, threads=config.num_workers, vlr_size=vlr_size)
        make(some[:_WARM])
        control.refuse_if_stopped()
        with timer.phase("make"):
            faces_u8_NCHW = make(some)
        on_sample(len(some))
        seconds = len(images) * timer.seconds["make"] / len(some)
        return Sample(faces_u8_NCHW, seconds, len(images), len(images) - len(faces_u8_NCHW))

    def vlr(images: Sequence[ImageFile], digest: str, in_fp16: Fp16Enlargement | None = None) -> Sample:
        precision: Literal["fp16", "float32"] = "fp16" if in_fp16 else "float32"
        key = prepared_key(digest, enlargement=inputs.dsr, vlr_size=config.vlr_size, precision=precision)
        return sample(images, key, in_fp16 or enlarge, config.vlr_size)

    def hr(images: Sequence[ImageFile], digest: str) -> Sample:
        return sample(images, prepared_key(digest), enlarge_bicubic, None)

    return Samples(
        train=vlr(scan.train.vlr_images, inputs.train_vlr, in_fp16),
        train_hr=None if inputs.train_hr is None else hr(train_hr, inputs.train_hr),
        probes=vlr(scan.val.vlr_images, inputs.val_vlr),
        gallery=hr(scan.val.hr_images, inputs.val_hr),
    )


def sample_synthetic_identities(
    config: FinetuneConfig,
    hr_u8_NCHW: Tensor,
    hr_digest: str,
    labels_N: Tensor,
    prepared_dir: Path,
    control: Control,
) -> Sample:
    """The faces of some of `config.synthetic_identities` identities, from HR faces with class ids `labels_N`."""
    identities, trial = config.synthetic_identities, min(config.synthetic_identities, TRIAL_IDENTITIES)
    timer, faces = PhaseTimer(), identities * FACES_OF_EACH
    drawn = draw_identities(labels_N, trial, config.seed)
    with timer.phase("make"):
        synthetic_u8_NCHW = torch.cat([some.pixels_u8 for some in drawn.faces(hr_u8_NCHW)])
    seconds, missing = timer.seconds["make"] * identities / trial, faces
    if PreparedFaces(prepared_dir, control).find(synthetic_key(hr_digest, identities, config.seed), faces) is not None:
        seconds, missing = 0.0, 0
    return Sample(synthetic_u8_NCHW, seconds, missing, missing)


def spread(count: int, most: int) -> Tensor:
    """At most `most` indices, spread over 0..count-1: neighbours are of one subject."""
    return torch.linspace(0, count - 1, min(count, most)).long()


def _enlarged(paths: Sequence[Path], *, enlarge: Enlarge, threads: int, vlr_size: int | None) -> Tensor:
    chunks = enlarge_images(paths, enlarge, threads=threads, vlr_size=vlr_size)
    return torch.cat([faces.pixels_u8 for faces in chunks])
