"""Interpolation between the initial weights and the trained ones.

Interpolated weights keep more of the network's recognition of faces unlike those of the train set: WiSE-FT, Wortsman
et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903, equation 1.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from worker.training.models.edgeface import EdgeFace

Weights = Mapping[str, Tensor]


def weights_of(backbone: EdgeFace) -> Weights:
    """A copy, by name."""
    return {name: tensor.clone() for name, tensor in backbone.state_dict().items()}


@torch.no_grad()
def interpolated(initial: Weights, trained: EdgeFace, share: float) -> EdgeFace:
    """A network of its own, `share` (0..1) of the way from the `initial` weights to those of `trained`."""
    between = copy.deepcopy(trained)
    for name, tensor in between.state_dict().items():
        torch.lerp(initial[name], tensor, share, out=tensor)
    return between
