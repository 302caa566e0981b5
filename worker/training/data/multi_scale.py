"""Multi-scale views: faces of synthetic identities at many resolutions, mixed with VLR images.

A view is the face of a synthetic identity, as large as it is or reduced to a VLR size; or a VLR image of the train set,
which may come from a real camera.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.finetune.config import FACE_SIZE, FACES_OF_EACH, FinetuneConfig
from worker.training.data.augment import augment
from worker.training.data.preprocess import Enlarge, resize_bicubic, to_u8
from worker.training.data.vlr_faces import VlrEpoch, VlrFaces
from worker.training.runtime.profiling import profiled
from worker.training.runtime.transfers import to_device

# Shape suffixes: N training faces, Q synthetic faces, B places of an epoch, C = 3 channels (RGB), H = W = 112 pixels;
# 4 random numbers per face; _u8 is uint8 in 0..255.

VLR_IMAGE = -1
"""In place of the index of a synthetic face: the VLR image at this place of the epoch's order."""

_MADE_AT_ONCE = {"cuda": 1024, "cpu": 1}
"""The more, the more views of one size are made by one operation: 1,024 of the default sizes are about 25 a size. A CPU
gains nothing from that."""


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
    face on the device that trains. `config` has the shares and sizes of the views. Labels are identities: the synthetic
    ones, then the classes of the train set.
    """

    vlr: VlrFaces
    synthetic_u8_QCHW: Tensor
    enlarge: Enlarge
    config: FinetuneConfig
    refuse_not_finite: Callable[[], None] = lambda: None

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
        self.made_at_once = _MADE_AT_ONCE[source.vlr.device.type]
        self._source = source
        self._vlr = vlr
        self._views = views
        self._identities_N = identities_of(views, vlr.labels(slice(None)), source.synthetic_identities)

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
            )

    def labels(self, places: slice) -> Tensor:
        return self._identities_N[places]

    def drawn(self, _: slice) -> None:
        return None

    def refuse_not_finite(self) -> None:
        self._source.refuse_not_finite()

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
) -> Tensor:
    """Views, uint8 [B, 3, 112, 112], on the device of `drawn_4B`. The CPU does not wait for it.

    The VLR images at `order_B`, which are enlarged, are augmented by the random numbers `drawn_4B`; `enlarge` enlarges
    the synthetic faces that are reduced here. All views of one size are made together.
    """
    vlr_B = drawn.synthetic_B == VLR_IMAGE
    by_size_B = torch.where(vlr_B, FACE_SIZE + 1, drawn.sizes_B).argsort(stable=True)  # the VLR images last
    chosen_B = torch.where(vlr_B, order_B, drawn.synthetic_B)[by_size_B]
    places_B, chosen_on_device_B = to_device(torch.stack([by_size_B, chosen_B]), drawn_4B.device)
    synthetic = len(vlr_B) - int(vlr_B.sum())
    sizes = Counter(drawn.sizes_B[by_size_B[:synthetic]].tolist())  # in order
    views_u8_BCHW = torch.empty(len(vlr_B), 3, FACE_SIZE, FACE_SIZE, dtype=torch.uint8, device=drawn_4B.device)

    faces_u8_BCHW = _taken(synthetic_u8_QCHW, chosen_B[:synthetic], chosen_on_device_B[:synthetic])
    counts = list(sizes.values())
    for size, places, faces_u8 in zip(
        sizes, torch.split(places_B[:synthetic], counts), torch.split(faces_u8_BCHW, counts), strict=True
    ):
        views_u8_BCHW[places] = faces_u8 if size == FACE_SIZE else enlarge(resize_bicubic(faces_u8, size))
    if synthetic < len(vlr_B):
        vlr_u8_BCHW = _taken(vlr_u8_NCHW, chosen_B[synthetic:], chosen_on_device_B[synthetic:])
        places = places_B[synthetic:]
        views_u8_BCHW[places] = to_u8(augment(vlr_u8_BCHW, drawn_4B[:, places]))
    return views_u8_BCHW


def identities_of(drawn: DrawnViews, labels_B: Tensor, synthetic_identities: int) -> Tensor:
    """The identities [B] that the views show: synthetic ones by number, then the train set's classes `labels_B`. On the
    device of `labels_B`."""
    synthetic_B = to_device(drawn.synthetic_B, labels_B.device)
    return torch.where(synthetic_B == VLR_IMAGE, synthetic_identities + labels_B, synthetic_B // FACES_OF_EACH)


def _taken(faces_u8: Tensor, chosen_B: Tensor, chosen_on_device_B: Tensor) -> Tensor:
    """The chosen faces on the device of `chosen_on_device_B`, which are the same numbers."""
    if faces_u8.device == chosen_on_device_B.device:
        return faces_u8[chosen_on_device_B]
    return to_device(faces_u8[chosen_B], chosen_on_device_B.device)
