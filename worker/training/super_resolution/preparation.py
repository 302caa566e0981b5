"""The embeddings of the HR faces, which EdgeFace sees once."""

from collections.abc import Callable

import torch
from torch import Tensor

from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed
from worker.training.runtime.cpu_parallel import CpuParallel

# Shape suffixes: N faces, M faces of a microbatch, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is
# uint8 in [0, 255].

_FACES_AT_ONCE = 256


def embed_both_ways(
    edgeface: EdgeFace,
    faces_u8_NCHW: Tensor,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
    *,
    parallel: CpuParallel,
) -> Tensor:
    """Embed faces, plain and mirrored: [2, N, 512] on the CPU. The faces may be a memory map larger than memory.

    `on_faces` is called with the number of further faces done, and may raise. Raises OutOfMemory.
    """
    e_ND = embed(edgeface, faces_u8_NCHW, device, on_faces, parallel=parallel).cpu()
    mirrored_e_ND = torch.cat(
        [
            embed(edgeface, some_u8_MCHW.flip(3), device, on_faces, parallel=parallel).cpu()
            for some_u8_MCHW in torch.split(faces_u8_NCHW, _FACES_AT_ONCE)
        ]
    )
    return torch.stack([e_ND, mirrored_e_ND])
