"""Losses of a DSR network: pixel, perceptual and identity loss.

The perceptual loss follows Johnson et al., "Perceptual losses for real-time style transfer and super-resolution", ECCV
2016, section 3.2, with the first stages of EdgeFace instead of a VGG network, which would need a download. The identity
loss is one minus the cosine of the embeddings, as in Zhang et al., "Super-Identity Convolutional Neural Network for
Face Hallucination", ECCV 2018, section 3.2.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.dsr_config import DsrTrainingConfig
from worker.training.models.edgeface import EdgeFace, normalise

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112 pixels, K channels of a map of side M, D = 512 dimensions.

_EARLY_STAGES = 2
_CHARBONNIER = 1e-3


@dataclass(frozen=True)
class Seen:
    """Features of EdgeFace: the maps [B, K, M, M] of its stem and first stages, and L2-normalised embeddings [B, D]."""

    maps: tuple[Tensor, ...]
    e_BD: Tensor


def see(edgeface: EdgeFace, faces_BCHW: Tensor) -> Seen:
    """Compute the features of RGB faces [B, 3, 112, 112] in [0, 1]. The embeddings equal those of the backbone."""
    return Seen(*_run(edgeface, faces_BCHW))


@torch.no_grad()
def see_early(edgeface: EdgeFace, faces_BCHW: Tensor) -> tuple[Tensor, ...]:
    """Compute only the maps, without gradients."""
    return _early(edgeface, faces_BCHW)[0]


def pixel_distance(x_BCHW: Tensor, y_BCHW: Tensor, kind: str) -> Tensor:
    """Return the distance [B]. `l1`: mean absolute difference. `charbonnier`: mean of sqrt(d^2 + 0.001^2) (Lai et al.,
    "Deep Laplacian Pyramid Networks", CVPR 2017, section 3.2) minus 0.001, so that equal faces have distance 0."""
    difference = x_BCHW - y_BCHW
    if kind == "l1":
        return difference.abs().flatten(1).mean(1)
    return (difference.square() + _CHARBONNIER**2).sqrt().flatten(1).mean(1) - _CHARBONNIER


def perceptual_distance(maps: tuple[Tensor, ...], target_maps: tuple[Tensor, ...]) -> Tensor:
    """Return the mean absolute difference [B] of the maps relative to the target's mean magnitude, averaged over the
    maps."""
    shares = [
        (each - target).abs().flatten(1).mean(1) / target.abs().flatten(1).mean(1)
        for each, target in zip(maps, target_maps, strict=True)
    ]
    return torch.stack(shares).mean(0)


def identity_distance(e_BD: Tensor, target_BD: Tensor) -> Tensor:
    """Return 1 - cosine [B], in [0, 2], of L2-normalised embeddings."""
    return 1 - (e_BD * target_BD).sum(1)


@dataclass(frozen=True)
class Losses:
    """Unweighted losses [B], and their weighted sum `total` [B]."""

    total: Tensor
    pixel: Tensor
    perceptual: Tensor
    identity: Tensor


def losses_of(
    config: DsrTrainingConfig, edgeface: EdgeFace, enlarged_BCHW: Tensor, hr_BCHW: Tensor, hr_e_BD: Tensor
) -> Losses:
    """Compute the losses of enlarged faces, 112 x 112 and not clamped, against HR faces in [0, 1] and their embeddings.

    EdgeFace sees clamped faces, as in use. The pixel loss compares unclamped ones, since a clamped pixel has no
    gradient.
    """
    pixel_B = pixel_distance(enlarged_BCHW, hr_BCHW, config.pixel_loss)
    seen = see(edgeface, enlarged_BCHW.clamp(0, 1))
    perceptual_B = perceptual_distance(seen.maps, see_early(edgeface, hr_BCHW))
    identity_B = identity_distance(seen.e_BD, hr_e_BD)
    total_B = (
        config.pixel_weight * pixel_B + config.perceptual_weight * perceptual_B + config.identity_weight * identity_B
    )
    return Losses(total_B, pixel_B, perceptual_B, identity_B)


def _early(edgeface: EdgeFace, faces_BCHW: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the maps, and the input of the following stages."""
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
