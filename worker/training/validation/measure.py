"""The recognition of a backbone: VLR probes against the HR gallery of val."""

from dataclasses import dataclass

from app.finetune.events import Recognition
from worker.training.metrics import (
    FaceSet,
    Separation,
    count_pairs,
    rank1,
    separation,
    tar_at_far,
    verification_auc,
)


@dataclass(frozen=True)
class Measurement:
    """`separation` is None where there are no pairs."""

    recognition: Recognition
    separation: Separation | None


def measure(probes: FaceSet, gallery: FaceSet) -> Measurement:
    """Verification and rank-1 of `probes` against `gallery`."""
    scores = count_pairs(probes, gallery)
    recognition = Recognition(
        auc=verification_auc(scores),
        rank1=rank1(probes, gallery),
        tar_at_far_1_percent=tar_at_far(scores, 0.01),
        tar_at_far_01_percent=tar_at_far(scores, 0.001),
        genuine_pairs=len(scores.genuine),
        impostor_pairs=scores.impostors,
    )
    return Measurement(recognition, separation(scores))
