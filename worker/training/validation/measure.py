"""Embeddings, and the few figures that a training tells while it runs: VLR probes against the HR gallery of val."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.finetune.dataset import image_name, subject_of
from app.finetune.events import Recognition
from worker.training.data.preprocess import normalise
from worker.training.metrics import (
    FaceSet,
    Separation,
    rank1,
    score_pairs,
    separation,
    tar_at_far,
    verification_auc,
)
from worker.training.runtime.cpu_parallel import ONE_LANE, Lanes
from worker.training.runtime.out_of_memory import in_parts_that_fit

# Shape suffixes: N faces, B of a batch, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is uint8.

_FACES_AT_ONCE = 256


@dataclass(frozen=True)
class Measurement:
    """`separation` is None where there are no pairs."""

    recognition: Recognition
    separation: Separation | None


@torch.inference_mode()
def embed(
    backbone: nn.Module,
    faces_u8_NCHW: Tensor,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
    *,
    tta: bool = False,
    lanes: Lanes = ONE_LANE,
) -> Tensor:
    """uint8 faces [N, 3, 112, 112] -> L2-normalised embeddings [N, 512] on `device`, in eval mode and float32,
    whatever precision trains, in batches that fit its memory. `on_faces` hears how many more are done. With `tta`
    (test-time augmentation) each face's mirror image is embedded too, and both are added before normalising.

    Raises OutOfMemory.
    """

    @torch.inference_mode()  # each thread has a mode of its own
    def embed_at_once(faces_u8_BCHW: Tensor) -> Tensor:
        x_BCHW = normalise(faces_u8_BCHW.to(device, non_blocking=True))
        return F.normalize(backbone(x_BCHW) + backbone(x_BCHW.flip(3)) if tta else backbone(x_BCHW))

    was_training = backbone.training
    backbone.eval()
    try:
        return in_parts_that_fit(embed_at_once, faces_u8_NCHW, _FACES_AT_ONCE, on_faces, lanes)
    finally:
        backbone.train(was_training)


def face_set(e_ND: Tensor, paths: Sequence[Path]) -> FaceSet:
    """Embeddings with the subjects and names that the dataset's layout gives their files."""
    subjects, names = [subject_of(path.name) for path in paths], [image_name(path) for path in paths]
    return FaceSet(e_ND.cpu().numpy(), subjects, names)


def measure(probes: FaceSet, gallery: FaceSet) -> Measurement:
    """Verification and rank-1 of `probes` against `gallery`."""
    scores = score_pairs(probes, gallery)
    recognition = Recognition(
        auc=verification_auc(scores),
        rank1=rank1(probes, gallery),
        tar_at_far_1_percent=tar_at_far(scores, 0.01),
        tar_at_far_01_percent=tar_at_far(scores, 0.001),
        genuine_pairs=len(scores.genuine),
        impostor_pairs=scores.impostors,
    )
    return Measurement(recognition, separation(scores))
