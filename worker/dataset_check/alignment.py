"""How far the HR faces are off the EdgeFace template."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from app.alignment.errors import AlignExtraMissing, AlignModelDamaged
from app.alignment.installed import misalignments
from app.finetune.alignment_distance import MISALIGNED, AlignmentDistance
from app.finetune.dataset_findings import PartWarning
from app.finetune.job_warning import JobWarning
from worker.training.runtime.control import Control

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112 pixels; _u8 is uint8.

MOST_MEASURED = 2000
_SAMPLED = 64
"""Enough for a median; a face takes 12 ms."""
_AT_ONCE = 64


def alignment_warnings(faces_u8_NCHW: Tensor) -> list[JobWarning]:
    """Return the warnings about a sample of the HR faces, uint8 [N, 3, 112, 112]. None where it cannot be measured."""
    distance, _ = measure_alignment([faces_u8_NCHW], Control(), lambda _: None, most=_SAMPLED)
    return [] if distance is None else distance.warnings()


def measure_alignment(
    faces_u8_NCHW: Sequence[Tensor],
    control: Control,
    on_share: Callable[[float], None],
    most: int = MOST_MEASURED,
) -> tuple[AlignmentDistance | None, list[PartWarning]]:
    """Measure up to `most` of the HR faces, evenly spaced. Return also the warnings about them. `on_share` is
    called with the share done in 0..1. Raises StopRequested."""
    total = sum(len(faces) for faces in faces_u8_NCHW)
    if not total:
        return None, []
    measured: list[float | None] = []
    try:
        for some in _some_of(faces_u8_NCHW, total, most):
            control.refuse_if_stopped()
            measured += misalignments(some)
            on_share(len(measured) / min(total, most))
    except (AlignExtraMissing, AlignModelDamaged) as error:
        return None, [PartWarning(code="alignment_not_measured", message=f"{error.message}: {error.hint}")]
    off = [pixels for pixels in measured if pixels is not None]
    distance = AlignmentDistance(
        images=total,
        measured=len(measured),
        without_face=len(measured) - len(off),
        median=float(np.median(off)) if off else None,
        percentile_95=float(np.percentile(off, 95)) if off else None,
        limit=MISALIGNED,
    )
    return distance, [PartWarning(code=each.code, message=each.message) for each in distance.warnings()]


def _some_of(faces_u8_NCHW: Sequence[Tensor], total: int, most: int) -> Iterator[list[Image.Image]]:
    step = max(1.0, total / most)
    chosen = [int(index * step) for index in range(min(total, most))]
    places = [(part, place) for part, faces in enumerate(faces_u8_NCHW) for place in range(len(faces))]
    for start in range(0, len(chosen), _AT_ONCE):
        some = (places[index] for index in chosen[start : start + _AT_ONCE])
        yield [Image.fromarray(faces_u8_NCHW[part][place].permute(1, 2, 0).numpy()) for part, place in some]
