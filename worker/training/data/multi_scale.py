"""Views: which face stage 2 shows at a place of an epoch that has invented people, and how large.

The face of an invented person, as large as it is or reduced to a size of VLR; or a VLR image as given, since those may
come from a real camera.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.config import FACE_SIZE, FACES_OF_EACH, FinetuneConfig
from worker.training.data.augment import augment
from worker.training.data.preprocess import Enlarge, normalise, resize_bicubic, to_u8

# Shape suffixes: N training faces, Q invented faces, B faces of a batch or a part of one, C = 3 channels (RGB),
# H = W = 112 pixels; 4 draws a face; _u8 is uint8 in 0..255, without it float in [-1, 1].

AS_GIVEN = -1
"""In place of an invented face: the VLR image at this place of the epoch's order."""


@dataclass(frozen=True)
class DrawnViews:
    """At each place of an epoch, or of a part of one: which invented face is shown, and how large in pixels, FACE_SIZE
    where it is not reduced. On the CPU."""

    invented_B: Tensor
    sizes_B: Tensor

    def at(self, places: slice) -> "DrawnViews":
        return DrawnViews(self.invented_B[places], self.sizes_B[places])


def draw_views(config: FinetuneConfig, faces: int, generator: torch.Generator) -> DrawnViews:
    """For an epoch of so many faces: no invented face twice before each was shown once."""
    kind_B, octave_B = torch.rand(2, faces, generator=generator)
    invented = config.synthetic_identities * FACES_OF_EACH
    orders = [torch.randperm(invented, generator=generator) for _ in range(-(-faces // invented))]
    invented_B = torch.cat(orders)[:faces]
    smallest, largest = math.log(config.smallest_view), math.log(config.largest_view)
    sizes_B = torch.exp(smallest + (largest - smallest) * octave_B).round().long()
    sizes_B[kind_B < config.vlr_share + config.hr_share] = FACE_SIZE
    invented_B[kind_B < config.vlr_share] = AS_GIVEN
    return DrawnViews(invented_B, sizes_B)


def make_views(
    drawn: DrawnViews,
    invented_u8_QCHW: Tensor,
    enlarge: Enlarge,
    vlr_u8_NCHW: Tensor,
    order_B: Tensor,
    drawn_4B: Tensor,
    device: torch.device,
) -> Tensor:
    """[B, 3, 112, 112] in [-1, 1] on `device`. The VLR images of `order_B`, enlarged already, are augmented as
    `drawn_4B` says; `enlarge` enlarges what is reduced here."""
    x_u8_BCHW = torch.empty(len(order_B), 3, FACE_SIZE, FACE_SIZE, dtype=torch.uint8, device=device)
    given_B = drawn.invented_B == AS_GIVEN
    for size in sorted(set(drawn.sizes_B[~given_B].tolist())):
        rows = (~given_B & (drawn.sizes_B == size)).nonzero()[:, 0]
        faces_u8 = _taken(invented_u8_QCHW, drawn.invented_B[rows], device)
        x_u8_BCHW[rows] = faces_u8 if size == FACE_SIZE else enlarge(resize_bicubic(faces_u8, size)).to(device)
    if len(rows := given_B.nonzero()[:, 0]):
        given_u8 = _taken(vlr_u8_NCHW, order_B[rows], device)
        x_u8_BCHW[rows] = to_u8(augment(given_u8, drawn_4B[:, rows]))
    return normalise(x_u8_BCHW)


def _taken(faces_u8: Tensor, chosen: Tensor, device: torch.device) -> Tensor:
    return faces_u8[chosen.to(faces_u8.device)].to(device, non_blocking=True)
