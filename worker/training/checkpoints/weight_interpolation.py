"""What is handed out of a training: the trained weights, or some on the way to them.

Weights part of the way keep more of what the network could do on faces that the training set does not show: WiSE-FT,
Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903, equation 1.
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
def interpolated(given: Weights, trained: EdgeFace, share: float) -> EdgeFace:
    """A network of its own, `share` (0..1) of the way from the weights `given` to those `trained`."""
    between = copy.deepcopy(trained)
    for name, tensor in between.state_dict().items():
        torch.lerp(given[name], tensor, share, out=tensor)
    return between
