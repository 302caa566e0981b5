"""Embeddings of faces."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.finetune.dataset import ImageFile
from worker.training.metrics import FaceSet
from worker.training.models.edgeface import EdgeFace, normalise
from worker.training.models.layout import in_a_layout_with_kernels
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.device import Precision
from worker.training.runtime.out_of_memory import in_parts_that_fit
from worker.training.runtime.profiling import profiled
from worker.training.runtime.transfers import to_device


def embed_faces(backbone: EdgeFace, faces_BCHW: Tensor, precision: Precision) -> Tensor:
    """[B, 3, 112, 112] in [-1, 1] -> embeddings [B, 512] in float32, the products in `precision`."""
    with profiled("forward"):
        e_BD: Tensor = in_a_layout_with_kernels(backbone, lambda: backbone(faces_BCHW, precision.products_in))
    return e_BD


_FACES_AT_ONCE = 256


@torch.inference_mode()
def embed(
    backbone: nn.Module,
    faces_u8_NCHW: Tensor,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
    *,
    tta: bool = False,
    parallel: CpuParallel = SINGLE_THREAD,
) -> Tensor:
    """uint8 faces [N, 3, 112, 112] -> L2-normalised embeddings [N, 512] on `device`, in eval mode and float32,
    in every precision, in batches that fit the memory. `on_faces` is called with the number of faces embedded. With
    `tta` (test-time augmentation) the mirror image of each face is embedded too, and both are added before normalising.

    Raises OutOfMemory.
    """

    @torch.inference_mode()  # each thread has a mode of its own
    def embed_at_once(faces_u8_BCHW: Tensor) -> Tensor:
        x_BCHW = normalise(to_device(faces_u8_BCHW, device))
        return in_a_layout_with_kernels(
            backbone,
            lambda: F.normalize(backbone(x_BCHW) + backbone(x_BCHW.flip(3)) if tta else backbone(x_BCHW)),
        )

    was_training = backbone.training
    backbone.eval()
    try:
        return in_parts_that_fit(embed_at_once, faces_u8_NCHW, _FACES_AT_ONCE, on_faces, parallel)
    finally:
        backbone.train(was_training)


def face_set(e_ND: Tensor, images: Sequence[ImageFile]) -> FaceSet:
    """Embeddings with the subjects and photos of their images."""
    subjects, photos = [image.subject for image in images], [image.photo for image in images]
    return FaceSet(e_ND.cpu().numpy(), subjects, photos, on_device=e_ND)
