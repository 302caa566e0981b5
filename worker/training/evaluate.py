"""Which embeddings are compared, and what the comparison says: VLR probes against the HR gallery of val."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.finetune.dataset import subject_of
from worker.training.events import Recognition
from worker.training.memory import in_parts_that_fit
from worker.training.metrics import (
    FaceSet,
    Separation,
    accepted_at_far,
    rank1,
    score_pairs,
    separation,
    tar_at_far,
    verification_auc,
)
from worker.training.pixels import normalise

# Shape suffixes: N faces, B of a batch, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is uint8.

_FACES_AT_ONCE = 256
_FEWEST_SUBJECTS = 5
_RESAMPLES = 2000


@dataclass(frozen=True)
class Measurement:
    """`recognition`, and what its TAR at FAR 1 % is made of per subject: genuine pairs, and those accepted; None where
    there is no such TAR. `separation` is None where there are no pairs."""

    recognition: Recognition
    genuine_and_accepted: dict[str, tuple[int, int]] | None
    separation: Separation | None


@torch.inference_mode()
def embed(
    backbone: nn.Module,
    faces_u8_NCHW: Tensor,
    device: torch.device,
    on_faces: Callable[[int], None] = lambda _: None,
    *,
    tta: bool = False,
) -> Tensor:
    """uint8 faces [N, 3, 112, 112] -> L2-normalised embeddings [N, 512] on `device`, in eval mode and float32,
    whatever precision trains, in batches that fit its memory. `on_faces` hears how many more are done. With `tta`
    (test-time augmentation) each face's mirror image is embedded too, and both are added before normalising.

    Raises OutOfMemory.
    """

    def embed_at_once(faces_u8_BCHW: Tensor) -> Tensor:
        x_BCHW = normalise(faces_u8_BCHW.to(device, non_blocking=True))
        return F.normalize(backbone(x_BCHW) + backbone(x_BCHW.flip(3)) if tta else backbone(x_BCHW))

    was_training = backbone.training
    backbone.eval()
    try:
        return in_parts_that_fit(embed_at_once, faces_u8_NCHW, _FACES_AT_ONCE, on_faces)
    finally:
        backbone.train(was_training)


def face_set(e_ND: Tensor, paths: Sequence[Path]) -> FaceSet:
    """Embeddings with the subjects and names that the dataset's layout gives their files."""
    names = [path.name for path in paths]
    return FaceSet(e_ND.cpu().numpy(), [subject_of(name) for name in names], names)


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
    accepted = accepted_at_far(scores, 0.01)
    if accepted is None:
        return Measurement(recognition, None, separation(scores))
    of_subject = {subject: accepted[scores.genuine_subject == number] for number, subject in enumerate(scores.subjects)}
    per_subject = {subject: (len(a), int(a.sum())) for subject, a in of_subject.items() if len(a)}
    return Measurement(recognition, per_subject, separation(scores))


def verdict(before: Measurement, after: Measurement) -> str:
    """One sentence: recognition got better, worse, or there is no clear difference; by TAR at FAR 1 %.

    The difference is clear where its 95 % interval leaves out zero, by a paired bootstrap over the subjects (Efron and
    Tibshirani 1993, chapter 13) with both thresholds held fixed. Below five subjects no interval is worth its name. The
    best epoch was chosen on the same val faces, so `after` flatters a little.
    """
    if before.genuine_and_accepted is None or after.genuine_and_accepted is None:
        pairs = f"{after.recognition.genuine_pairs} genuine and {after.recognition.impostor_pairs} impostor pairs"
        return f"Too few pairs to tell whether recognition got better: val has {pairs}."
    numbers = f"TAR at FAR 1% of VLR probes against the HR gallery {_change(before, after)}"
    subjects = sorted(before.genuine_and_accepted)
    if len(subjects) < _FEWEST_SUBJECTS:
        return f"Too few subjects to tell whether recognition got better: {numbers}, over {len(subjects)} subjects."
    low, high = _bootstrap(
        np.array([before.genuine_and_accepted[subject] for subject in subjects]),
        np.array([after.genuine_and_accepted[subject] for subject in subjects]),
    )
    said = (
        "Recognition got better"
        if low > 0
        else "Recognition got WORSE"
        if high < 0
        else "No clear difference in recognition"
    )
    interval = f"95% interval of the difference in TAR {low:+.3f} to {high:+.3f}, {len(subjects)} subjects"
    return f"{said}: {numbers} ({interval})."


def _change(before: Measurement, after: Measurement) -> str:
    was, became = before.recognition, after.recognition
    change = f"{was.tar_at_far_1_percent:.3f} -> {became.tar_at_far_1_percent:.3f}"
    return change if was.rank1 is None else f"{change}, rank-1 {was.rank1:.3f} -> {became.rank1:.3f}"


def _bootstrap(before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The 95 % interval of the difference in TAR; both [subjects, 2]: genuine pairs, and those accepted."""
    drawn = np.random.default_rng(0).integers(len(before), size=(_RESAMPLES, len(before)))
    pairs = before[drawn, 0].sum(1)
    differences = (after[drawn, 1] - before[drawn, 1]).sum(1) / pairs
    low, high = np.quantile(differences, (0.025, 0.975))
    return float(low), float(high)
