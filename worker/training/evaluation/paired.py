"""The bootstrap draws that an evaluation keeps, so that a later one of the same people can be compared with it."""

import hashlib
import json
import math

from app.finetune.evaluation import PairedDraws
from worker.training.evaluation.changes import MEASURED_AT
from worker.training.evaluation.comparison import Compared
from worker.training.metrics import FaceSet

_DIGITS = 6


def paired_draws(compared: Compared, probes: FaceSet, gallery: FaceSet) -> PairedDraws | None:
    """Return the draws of TAR at FAR 1 %, or 10 % with too few pairs. None with too few pairs or subjects."""
    far = next((far for far in MEASURED_AT if compared.comparison.tar_at(far).tar.value is not None), None)
    if far is None or compared.draws is None:
        return None
    tar = [None if math.isnan(rate) else round(rate, _DIGITS) for rate in compared.draws.tar[far].tolist()]
    return PairedDraws(people=_digest(probes, gallery), far=far, tar=tar)


def _digest(probes: FaceSet, gallery: FaceSet) -> str:
    images = [sorted(zip(faces.subjects, faces.names, strict=True)) for faces in (probes, gallery)]
    return hashlib.sha256(json.dumps(images).encode()).hexdigest()
