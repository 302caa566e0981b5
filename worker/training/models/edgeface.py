"""EdgeFace: an EdgeNeXt with a 512-d head that turns an aligned face into an embedding.

Paper: George, Ecabert, Otroshi Shahreza, Kotwal, Marcel, "EdgeFace: Efficient Face Recognition Model for Edge Devices",
IEEE T-BIOM 2024, arXiv:2307.01838; the low-rank linear layers are its section III-B. Backbone: Maaz et al., "EdgeNeXt",
ECCVW 2022, arXiv:2206.10589, as implemented by timm. Weights: Idiap Research Institute, CC BY-NC-SA 4.0. Modules have
the official names, so the official model loads our state dicts strictly, and we load its.
"""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from app.finetune.architectures import (
    EDGEFACE_VARIANTS,
    EMBEDDING_SIZE,
    EdgeFaceVariant,
    describe_difference,
    edgeface_by_stem,
)
from app.finetune.errors import WeightsMismatch
from worker.training.models.edgenext import products_alone_in_autocast, reduce_rank, replace_blocks
from worker.training.models.state_dicts import as_float32, read_state_dict

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112 pixels, D = 512 embedding dimensions.

_CPU = torch.device("cpu")


class EdgeFace(nn.Module):
    """One EdgeFace variant. The network is the attribute `model`, as in the official code."""

    def __init__(self, variant: EdgeFaceVariant) -> None:
        super().__init__()
        self.model: nn.Module = timm.create_model(variant.timm_name, num_classes=EMBEDDING_SIZE, pretrained=False)
        if variant.gamma is not None:
            reduce_rank(self.model, variant.gamma)
        replace_blocks(self.model)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised RGB faces [B, 3, 112, 112] in [-1, 1] -> embeddings [B, 512], not L2-normalised."""
        with products_alone_in_autocast(x_BCHW.device):
            e_BD: Tensor = self.model(x_BCHW.contiguous(memory_format=torch.channels_last))
        return e_BD


def normalise(faces_NCHW: Tensor) -> Tensor:
    """RGB faces, uint8 in 0..255 or float in [0, 1] -> float in [-1, 1], as EdgeFace was trained: mean 0.5, std 0.5."""
    if faces_NCHW.dtype == torch.uint8:
        faces_NCHW = faces_NCHW.float() / 255
    return (faces_NCHW * 2).sub_(1)


def load_edgeface(path: Path, device: torch.device = _CPU) -> tuple[EdgeFace, EdgeFaceVariant]:
    """Load an EdgeFace strictly onto `device`. The variant is inferred from the tensors.

    Raises WeightsUnreadable, WeightsUnsafe, WeightsQuantized or WeightsMismatch.
    """
    tensors = read_state_dict(path, "stem.0.weight")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    variant = edgeface_by_stem(shapes, path)
    edgeface = EdgeFace(variant)
    expected = {name: tuple(tensor.shape) for name, tensor in edgeface.model.state_dict().items()}
    if difference := describe_difference(shapes, expected):
        raise WeightsMismatch(path, variant.name, difference)
    edgeface.model.load_state_dict(as_float32(tensors, path), strict=True)
    return edgeface.to(device), variant


def new_edgeface(variant_name: str, seed: int) -> EdgeFace:
    """Create an untrained network, deterministic for a seed.

    Raises KeyError for an unknown variant.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EdgeFace(EDGEFACE_VARIANTS[variant_name])
