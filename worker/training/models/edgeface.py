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

from app.finetune.architectures import EDGEFACE_VARIANTS, EdgeFaceVariant, recognise_edgeface
from app.finetune.checked_copy import CheckedCopy
from app.finetune.edgeface_shapes import EMBEDDING_SIZE
from worker.training.models.edgenext import reduce_rank, replace_blocks, run_network
from worker.training.models.layout import lay_out_contiguously, takes_channels_last
from worker.training.models.state_dicts import as_float32, name_of, read_state_dict

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

    def forward(self, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        """Normalised RGB faces [B, 3, 112, 112] in [-1, 1] -> embeddings [B, 512], not L2-normalised.

        With `products_in`, bf16 or fp16, the Linear layers of the blocks run in it, and all else in float32.
        """
        return run_network(self.model, x_BCHW.contiguous(memory_format=torch.channels_last), products_in)


def normalise(faces_NCHW: Tensor) -> Tensor:
    """RGB faces, uint8 in 0..255 or float in [0, 1] -> float in [-1, 1], as EdgeFace was trained: mean 0.5, std 0.5."""
    if faces_NCHW.dtype == torch.uint8:
        faces_NCHW = faces_NCHW.float() / 255
    return (faces_NCHW * 2).sub_(1)


def load_edgeface(weights: Path | CheckedCopy, device: torch.device = _CPU) -> tuple[EdgeFace, EdgeFaceVariant]:
    """Load an EdgeFace strictly onto `device`. The variant is inferred from the tensors.

    Raises WeightsError.
    """
    tensors, path = read_state_dict(weights, "EdgeFace"), name_of(weights)
    variant = recognise_edgeface({name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)
    edgeface = EdgeFace(variant)
    edgeface.model.load_state_dict(as_float32(tensors, path), strict=True)
    if not takes_channels_last(device):
        lay_out_contiguously(edgeface)
    return edgeface.to(device), variant


def new_edgeface(variant_name: str, seed: int) -> EdgeFace:
    """Create an untrained network, deterministic for a seed.

    Raises KeyError for an unknown variant.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EdgeFace(EDGEFACE_VARIANTS[variant_name])
