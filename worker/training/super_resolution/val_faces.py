"""Validation of a DSR network: val's HR faces, reduced and enlarged again."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.dataset import ImageFile
from worker.training.data.preprocess import Enlarge, resize_bicubic
from worker.training.metrics import FaceSet
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.super_resolution.quality import psnr, ssim
from worker.training.validation.measure import Measurement, measure

# Shape suffixes: N faces of val, M faces of a microbatch, P = N * sizes probes, C = 3 channels (RGB), H = W = 112
# pixels, D = 512 dimensions; _u8 is uint8.

_FACES_AT_ONCE = 64
"""Few enough for a CPU to react to a stop in time. More are not faster."""


@dataclass(frozen=True)
class ValFaces:
    """HR faces of val, uint8 [N, 3, 112, 112], and their embeddings [N, D] are the gallery. `resize_bicubic` reduces
    them to VLR faces, by size."""

    images: tuple[ImageFile, ...]
    hr_u8_NCHW: Tensor
    hr_e_ND: Tensor
    vlr_u8: dict[int, Tensor]

    @property
    def gallery(self) -> FaceSet:
        return face_set(self.hr_e_ND, self.images)


@dataclass(frozen=True)
class Enlarged:
    """Embeddings [N, D] of the enlarged probes by size, and their mean similarity to the HR faces: `psnr` in decibels,
    `ssim` and `identity` (the cosine to the HR embedding of the same face) in [-1, 1]."""

    val: ValFaces
    e_ND: dict[int, Tensor]
    psnr: float
    ssim: float
    identity: float

    def probes(self, size: int) -> FaceSet:
        """Return the probes of one size."""
        return face_set(self.e_ND[size], self.val.images)

    def measure(self) -> Measurement:
        """Measure the recognition of the probes of all sizes against the HR gallery, without pairs of an image with
        itself."""
        probes = face_set(torch.cat(list(self.e_ND.values())), self.val.images * len(self.e_ND))
        return measure(probes, self.val.gallery)


def val_faces(
    images: tuple[ImageFile, ...],
    hr_u8_NCHW: Tensor,
    sizes: tuple[int, ...],
    edgeface: EdgeFace,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
) -> ValFaces:
    """Embed the gallery and reduce it to all sizes. `on_faces` is called with the number of further faces done, and may
    raise. Raises OutOfMemory."""
    reduced: dict[int, list[Tensor]] = {size: [] for size in sizes}
    for hr_u8_MCHW in torch.split(hr_u8_NCHW, _FACES_AT_ONCE):
        for size, parts in reduced.items():
            parts.append(resize_bicubic(hr_u8_MCHW, size))
        on_faces(len(hr_u8_MCHW))
    vlr_u8 = {size: torch.cat(parts) for size, parts in reduced.items()}
    return ValFaces(images, hr_u8_NCHW, embed(edgeface, hr_u8_NCHW, device, on_faces).cpu(), vlr_u8)


@torch.no_grad()
def enlarge_val(
    val: ValFaces,
    enlarge: Enlarge,
    edgeface: EdgeFace,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
    *,
    parallel: CpuParallel,
) -> Enlarged:
    """Enlarge and embed the probes, a few at a time to bound memory.

    `on_faces` is called with the number of further faces done, and may raise. Raises OutOfMemory and
    EnlargementNotFinite.
    """
    embedded, decibels, similar, cosines = {}, [], [], []
    for size, vlr_u8_NCHW in val.vlr_u8.items():
        parts = []
        for vlr_u8_MCHW, hr_u8_MCHW in zip(
            torch.split(vlr_u8_NCHW, _FACES_AT_ONCE), torch.split(val.hr_u8_NCHW, _FACES_AT_ONCE), strict=True
        ):
            faces_u8_MCHW = enlarge(vlr_u8_MCHW)
            parts.append(embed(edgeface, faces_u8_MCHW, device, parallel=parallel).cpu())
            decibels.append(psnr(faces_u8_MCHW, hr_u8_MCHW))
            similar.append(ssim(faces_u8_MCHW, hr_u8_MCHW))
            on_faces(len(faces_u8_MCHW))
        embedded[size] = torch.cat(parts)
        cosines.append((embedded[size] * val.hr_e_ND).sum(1))
    means = [torch.cat(each).mean().item() for each in (decibels, similar, cosines)]
    return Enlarged(val, embedded, *means)
