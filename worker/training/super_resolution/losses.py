"""What a DSR network learns by: pixels, what EdgeFace's first stages see, and whom EdgeFace sees.

The perceptual loss is that of Johnson et al., "Perceptual losses for real-time style transfer and super-resolution",
ECCV 2016, section 3.2, with the first stages of EdgeFace itself in place of a VGG network, which would have to be
fetched; the identity loss is one minus the cosine of the embeddings, as in Zhang et al., "Super-Identity Convolutional
Neural Network for Face Hallucination", ECCV 2018, section 3.2.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.dsr_config import DsrTrainingConfig
from worker.training.data.preprocess import normalise
from worker.training.models.edgeface import EdgeFace

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112 pixels, K channels of a map of side M, D = 512 dimensions.

_EARLY_STAGES = 2
_CHARBONNIER = 1e-3


@dataclass(frozen=True)
class Seen:
    """What EdgeFace sees in faces: the maps [B, K, M, M] of its stem and first stages, and L2-normalised embeddings
    [B, D]."""

    maps: tuple[Tensor, ...]
    e_BD: Tensor


def see(edgeface: EdgeFace, faces_BCHW: Tensor) -> Seen:
    """RGB faces in [0, 1], 112 x 112. The same embeddings as the backbone's own forward pass gives."""
    return Seen(*_run(edgeface, faces_BCHW))


@torch.no_grad()
def see_early(edgeface: EdgeFace, faces_BCHW: Tensor) -> tuple[Tensor, ...]:
    """The maps alone, and no gradient."""
    return _early(edgeface, faces_BCHW)[0]


def pixel_distance(x_BCHW: Tensor, y_BCHW: Tensor, kind: str) -> Tensor:
    """[B] `l1`: the mean absolute difference. `charbonnier`: the mean of sqrt(d^2 + 0.001^2) (Lai et al., "Deep
    Laplacian Pyramid Networks", CVPR 2017, section 3.2), less 0.001, so that equal faces have none."""
    difference = x_BCHW - y_BCHW
    if kind == "l1":
        return difference.abs().flatten(1).mean(1)
    return (difference.square() + _CHARBONNIER**2).sqrt().flatten(1).mean(1) - _CHARBONNIER


def perceptual_distance(maps: tuple[Tensor, ...], target_maps: tuple[Tensor, ...]) -> Tensor:
    """[B] The mean absolute difference of each map as a share of the target's mean size, averaged over the maps."""
    shares = [
        (each - target).abs().flatten(1).mean(1) / target.abs().flatten(1).mean(1)
        for each, target in zip(maps, target_maps, strict=True)
    ]
    return torch.stack(shares).mean(0)


def identity_distance(e_BD: Tensor, target_BD: Tensor) -> Tensor:
    """[B] 1 - cosine, 0..2; both L2-normalised."""
    return 1 - (e_BD * target_BD).sum(1)


@dataclass(frozen=True)
class Losses:
    """[B] each, unweighted; `total` is weighted."""

    total: Tensor
    pixel: Tensor
    perceptual: Tensor
    identity: Tensor


def losses_of(
    config: DsrTrainingConfig, edgeface: EdgeFace, enlarged_BCHW: Tensor, hr_BCHW: Tensor, hr_e_BD: Tensor
) -> Losses:
    """Of faces enlarged to 112 x 112, not clamped, against HR ones in [0, 1] and their embeddings. EdgeFace sees them
    clamped, as it will; pixels are compared as they are, or one that left [0, 1] would never come back."""
    pixel_B = pixel_distance(enlarged_BCHW, hr_BCHW, config.pixel_loss)
    seen = see(edgeface, enlarged_BCHW.clamp(0, 1))
    perceptual_B = perceptual_distance(seen.maps, see_early(edgeface, hr_BCHW))
    identity_B = identity_distance(seen.e_BD, hr_e_BD)
    total_B = (
        config.pixel_weight * pixel_B + config.perceptual_weight * perceptual_B + config.identity_weight * identity_B
    )
    return Losses(total_B, pixel_B, perceptual_B, identity_B)


def _early(edgeface: EdgeFace, faces_BCHW: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """The maps, and what the stages after them go on from."""
    model = edgeface.model
    x = normalise(faces_BCHW).contiguous(memory_format=torch.channels_last)
    maps = [model.stem(x)]  # type: ignore[operator]
    for stage in list(model.stages)[:_EARLY_STAGES]:  # type: ignore[arg-type]
        maps.append(stage(maps[-1]))
    return tuple(maps), maps[-1]


def _run(edgeface: EdgeFace, faces_BCHW: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    model = edgeface.model
    maps, x = _early(edgeface, faces_BCHW)
    for stage in list(model.stages)[_EARLY_STAGES:]:  # type: ignore[arg-type]
        x = stage(x)
    e_BD = model.forward_head(model.norm_pre(x))  # type: ignore[operator]
    return maps, F.normalize(e_BD)
