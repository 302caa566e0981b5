"""Recognition rates with bootstrap draws. Rates on the same people share the draws, so differences are paired."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from app.finetune.dataset import ImageFile
from benchmarks.recognition.people import People
from worker.training.data.preprocess import Enlarge, enlarge_bicubic
from worker.training.metrics import FaceSet, score_pairs, tar_at_far
from worker.training.metrics.bootstrap import draw_rank_rate, draw_subjects, draw_verification
from worker.training.metrics.identification import rank_rate, search
from worker.training.models.embedding import embed, face_set

# Shape suffixes: B draws, S subjects.

FARS = {"TAR@0.1%": 0.001, "TAR@1%": 0.01}
MEASURES = (*FARS, "rank-1")
HR = "HR"
"""Probe size of unreduced faces."""

_FEWEST_ERRORS = 1
"""Ten people make 9,000 impostor pairs, so FAR 0.1 % rests on 9 errors; a report requires ten. Here 40 people and
several trainings are averaged, and the interval shows the uncertainty."""
_CPU = torch.device("cpu")

Draws = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """A rate in [0, 1] and its bootstrap draws [B]."""

    value: float
    draws: Draws

    @classmethod
    def mean(cls, rates: Sequence["Rate"]) -> "Rate":
        return cls(float(np.mean([rate.value for rate in rates])), np.mean([rate.draws for rate in rates], axis=0))

    def minus(self, other: "Rate") -> "Rate":
        """Return the paired difference of rates that share their draws."""
        return Rate(self.value - other.value, self.draws - other.draws)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the draws (percentile method)."""
        low, high = np.nanquantile(self.draws, (0.025, 0.975))
        return float(low), float(high)

    def shown(self, sign: str = "") -> str:
        low, high = self.interval
        return f"{self.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


Rates = dict[str, Rate]
"""By measure."""


def measure(
    backbone: nn.Module, people: People, sizes: Sequence[int], *, draw: int, enlarge: Enlarge = enlarge_bicubic
) -> dict[str, Rates]:
    """Return rates by probe size in pixels, and HR: every probe against every HR image but its own. `draw` seeds the
    bootstrap.

    Rank-1 uses one gallery image per person, averaged over its choices.
    """
    gallery = _embedded(backbone, people.hr_u8_NCHW, people)
    found = {HR: _rates(gallery, gallery, draw)}
    for size in sizes:
        found[str(size)] = _rates(_embedded(backbone, enlarge(people.vlr(size)), people), gallery, draw)
    return found


def _embedded(backbone: nn.Module, faces_u8_NCHW: Tensor, people: People) -> FaceSet:
    files = [ImageFile(path, path.stem.partition("_")[0], path.stem) for path in map(Path, people.files)]
    return face_set(embed(backbone, faces_u8_NCHW, _CPU), files)


def _rates(probes: FaceSet, gallery: FaceSet, draw: int) -> Rates:
    scores, searches = score_pairs(probes, gallery), search(probes, gallery, "one")
    drawn_BS = draw_subjects(len(scores.subjects), seed=draw)
    drawn = draw_verification(scores, drawn_BS, tuple(FARS.values()))
    rates = {name: _rate(tar_at_far(scores, far, _FEWEST_ERRORS), drawn.tar[far]) for name, far in FARS.items()}
    return {**rates, "rank-1": _rate(rank_rate(searches, 1), draw_rank_rate(searches, 1, drawn_BS))}


def _rate(value: float | None, draws: Draws) -> Rate:
    assert value is not None, "a benchmark's people suffice"
    return Rate(value, draws)
