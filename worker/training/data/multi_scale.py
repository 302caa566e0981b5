"""Multi-scale views: faces of synthetic identities at many resolutions, mixed with VLR images.

A view is the face of a synthetic identity, as large as it is or reduced to a VLR size; or a VLR image of the train set,
which may come from a real camera.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.finetune.config import FACE_SIZE, FACES_OF_EACH, FinetuneConfig
from worker.training.data.augment import augment
from worker.training.data.preprocess import Enlarge, resize_bicubic, to_u8
from worker.training.data.vlr_faces import VlrEpoch, VlrFaces
from worker.training.models.edgeface import normalise
from worker.training.runtime.profiling import profiled

# Shape suffixes: N training faces, Q synthetic faces, B faces of a batch or a part of one, C = 3 channels (RGB),
# H = W = 112 pixels; 4 random numbers per face; _u8 is uint8 in 0..255, without it float in [-1, 1].

VLR_IMAGE = -1
"""In place of the index of a synthetic face: the VLR image at this place of the epoch's order."""


@dataclass(frozen=True)
class DrawnViews:
    """For each place of an epoch, or of a part of one, on the CPU: the index of the synthetic face, and its size in
    pixels, FACE_SIZE where it is not reduced."""

    synthetic_B: Tensor
    sizes_B: Tensor

    def at(self, places: slice) -> "DrawnViews":
        return DrawnViews(self.synthetic_B[places], self.sizes_B[places])


@dataclass(frozen=True)
class MultiScaleViews:
    """A `FaceSource`: as many views an epoch as there are training faces.

    `synthetic_u8_QCHW` are the faces of the synthetic identities, 8 each, on any device; `enlarge` enlarges a reduced
    face. `config` has the shares and sizes of the views. Labels are identities: the synthetic ones, then the classes of
    the train set.
    """

    vlr: VlrFaces
    synthetic_u8_QCHW: Tensor
    enlarge: Enlarge
    config: FinetuneConfig

    def __len__(self) -> int:
        return len(self.vlr)

    @property
    def synthetic_identities(self) -> int:
        return len(self.synthetic_u8_QCHW) // FACES_OF_EACH

    def draw_epoch(self, generator: torch.Generator) -> "ViewsEpoch":
        vlr = self.vlr.draw_epoch(generator)
        return ViewsEpoch(self, vlr, draw_views(self.config, len(self), generator))

    def load_epoch(self, state: Mapping[str, Any], generator: torch.Generator) -> "ViewsEpoch":
        return ViewsEpoch(
            self,
            self.vlr.load_epoch(state, generator),
            DrawnViews(state["views"]["invented_B"], state["views"]["sizes_B"]),
        )


class ViewsEpoch:
    """The `EpochFaces` of `views`; where one shows a VLR image, it is the one that `vlr` has in its place."""

    def __init__(self, source: MultiScaleViews, vlr: VlrEpoch, views: DrawnViews) -> None:
        self._source = source
        self._vlr = vlr
        self._views = views

    def __len__(self) -> int:
        return len(self._vlr)

    def faces(self, places: slice) -> Tensor:
        source, vlr = self._source, self._vlr
        with profiled("views"):
            return make_views(
                self._views.at(places),
                source.synthetic_u8_QCHW,
                source.enlarge,
                source.vlr.faces_u8_NCHW,
                vlr.order_N[places],
                vlr.drawn_4N[:, places],
                source.vlr.device,
            )

    def labels(self, places: slice) -> Tensor:
        return identities_of(self._views.at(places), self._vlr.labels(places), self._source.synthetic_identities)

    def state_dict(self) -> dict[str, Any]:
        return {
            **self._vlr.state_dict(),
            "views": {"invented_B": self._views.synthetic_B, "sizes_B": self._views.sizes_B},
        }


def draw_views(config: FinetuneConfig, faces: int, generator: torch.Generator) -> DrawnViews:
    """For an epoch of so many faces: no synthetic face twice before each was shown once."""
    kind_B, octave_B = torch.rand(2, faces, generator=generator)
    synthetic = config.synthetic_identities * FACES_OF_EACH
    orders = [torch.randperm(synthetic, generator=generator) for _ in range(-(-faces // synthetic))]
    synthetic_B = torch.cat(orders)[:faces]
    smallest, largest = math.log(config.smallest_view), math.log(config.largest_view)
    sizes_B = torch.exp(smallest + (largest - smallest) * octave_B).round().long()
    sizes_B[kind_B < config.vlr_share + config.hr_share] = FACE_SIZE
    synthetic_B[kind_B < config.vlr_share] = VLR_IMAGE
    return DrawnViews(synthetic_B, sizes_B)


def make_views(
    drawn: DrawnViews,
    synthetic_u8_QCHW: Tensor,
    enlarge: Enlarge,
    vlr_u8_NCHW: Tensor,
    order_B: Tensor,
    drawn_4B: Tensor,
    device: torch.device,
) -> Tensor:
    """Views [B, 3, 112, 112] in [-1, 1] on `device`.

    The VLR images at `order_B`, which are enlarged, are augmented by the random numbers `drawn_4B`; `enlarge` enlarges
    the synthetic faces that are reduced here.
    """
    x_u8_BCHW = torch.empty(len(order_B), 3, FACE_SIZE, FACE_SIZE, dtype=torch.uint8, device=device)
    vlr_B = drawn.synthetic_B == VLR_IMAGE
    for size in sorted(set(drawn.sizes_B[~vlr_B].tolist())):
        rows = (~vlr_B & (drawn.sizes_B == size)).nonzero()[:, 0]
        faces_u8 = _taken(synthetic_u8_QCHW, drawn.synthetic_B[rows], device)
        x_u8_BCHW[rows] = faces_u8 if size == FACE_SIZE else enlarge(resize_bicubic(faces_u8, size)).to(device)
    if len(rows := vlr_B.nonzero()[:, 0]):
        vlr_u8_BCHW = _taken(vlr_u8_NCHW, order_B[rows], device)
        x_u8_BCHW[rows] = to_u8(augment(vlr_u8_BCHW, drawn_4B[:, rows]))
    return normalise(x_u8_BCHW)


def identities_of(drawn: DrawnViews, labels_B: Tensor, synthetic_identities: int) -> Tensor:
    """The identities [B] that the views show: synthetic ones by number, then the train set's classes `labels_B`."""
    synthetic_B = drawn.synthetic_B.to(labels_B.device)
    return torch.where(synthetic_B == VLR_IMAGE, synthetic_identities + labels_B, synthetic_B // FACES_OF_EACH)


def _taken(faces_u8: Tensor, chosen: Tensor, device: torch.device) -> Tensor:
    return faces_u8[chosen.to(faces_u8.device)].to(device, non_blocking=True)
