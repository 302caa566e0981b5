"""1:1 verification results of one comparison."""

import math
from collections.abc import Sequence

import numpy as np

from app.finetune.evaluation import (
    NO_PAIRS,
    BestAccuracy,
    OperatingPoint,
    RocCurve,
    ScoreHistogram,
    SweepPoint,
    Verification,
)
from worker.training.evaluation.estimates import estimate, too_few
from worker.training.metrics.best_accuracy import best_accuracy
from worker.training.metrics.bootstrap import VerificationDraws
from worker.training.metrics.faces import Floats
from worker.training.metrics.identification import Searches
from worker.training.metrics.pairs import THRESHOLDS, PairScores
from worker.training.metrics.verification import (
    Roc,
    equal_error_rate,
    roc_curve,
    separation,
    tar_at_far,
    threshold_at_far,
    verification_auc,
)

FARS = (0.1, 0.01, 0.001, 0.0001)
RECOMMENDED_FAR = 0.01
SWEEP = tuple(round(0.05 * step, 2) for step in range(-2, 20))

_CURVE_POINTS = 200
_NO_PAIRS = f"{NO_PAIRS}: there is no genuine or no impostor pair"


def counted_at(threshold: float) -> Floats:
    """Return the thresholds at which impostors are counted: the sweep's, `threshold`, and the histogram's."""
    return np.unique(np.array([*THRESHOLDS, *SWEEP, threshold], np.float32))


def verification_of(
    scores: PairScores, searches: Searches, draws: VerificationDraws | None, threshold: float
) -> Verification:
    """Build the results. `scores` are counted at `counted_at(threshold)`; `threshold` and the recommended one join the
    sweep. `searches` are those with all mates. `draws` is None with too few subjects."""
    roc, apart, best = roc_curve(scores), separation(scores), best_accuracy(scores)
    points = [_operating_point(scores, far, draws) for far in FARS]
    swept = {*SWEEP, threshold}
    if (recommended := recommended_of(points, None if best is None else best.threshold)) is not None:
        swept.add(recommended)
    return Verification(
        genuine_pairs=len(scores.genuine),
        paired_subjects=scores.paired_subjects,
        impostor_pairs=scores.impostors,
        auc=estimate(verification_auc(scores), None if draws is None else draws.auc, _NO_PAIRS),
        eer=estimate(None if roc is None else equal_error_rate(roc), None if draws is None else draws.eer, _NO_PAIRS),
        operating_points=points,
        best_accuracy=None if best is None else BestAccuracy(**vars(best)),
        genuine_mean=None if apart is None else apart.genuine,
        impostor_mean=None if apart is None else apart.impostor,
        d_prime=None if apart is None else apart.d_prime,
        sweep=[] if roc is None else [_sweep_point(scores, searches, each) for each in sorted(swept)],
        roc=None if roc is None else _thinned(roc, scores.impostors),
        histogram=ScoreHistogram(
            genuine=np.histogram(scores.genuine.clip(-1, 1), bins=_edges())[0].tolist(),
            impostor=_counted_between(scores),
        ),
    )


def recommended_of(points: Sequence[OperatingPoint], best_threshold: float | None) -> float | None:
    """Return the threshold of FAR 1 %, else of the best accuracy, rounded up to three places so that the FAR holds."""
    at_far = next(point.threshold for point in points if point.far == RECOMMENDED_FAR)
    threshold = best_threshold if at_far is None else at_far
    return None if threshold is None else math.ceil(threshold * 1000) / 1000


def _operating_point(scores: PairScores, far: float, draws: VerificationDraws | None) -> OperatingPoint:
    tar = tar_at_far(scores, far)
    refused = too_few(scores.impostors, "impostor pairs", far, "FAR") if len(scores.genuine) else _NO_PAIRS
    return OperatingPoint(
        far=far,
        tar=estimate(tar, None if draws is None else draws.tar[far], refused),
        threshold=None if tar is None else threshold_at_far(scores, far),
    )


def _sweep_point(scores: PairScores, searches: Searches, threshold: float) -> SweepPoint:
    tar = float((scores.genuine >= np.float32(threshold)).mean())
    far = scores.impostors_from(threshold) / scores.impostors
    mated = searches.mated_Q
    identified = (searches.credit(1) * (searches.own_Q >= np.float32(threshold)))[mated]
    return SweepPoint(
        threshold=threshold,
        far=far,
        tar=tar,
        accuracy=(tar + 1 - far) / 2,
        identified=float(identified.mean()) if mated.any() else None,
    )


def _thinned(roc: Roc, impostors: int) -> RocCurve:
    """Return the curve's highest points at FARs evenly spaced on a logarithmic axis."""
    fars = np.concatenate([[0.0], np.geomspace(1 / impostors, 1, _CURVE_POINTS)])
    corners = np.unique(np.searchsorted(roc.far, fars + 1e-12, side="right") - 1)
    return RocCurve(far=roc.far[corners].tolist(), tar=roc.tar[corners].tolist())


def _edges() -> Floats:
    """Return the edges of 100 bins."""
    return THRESHOLDS[::2]


def _counted_between(scores: PairScores) -> list[int]:
    between = [scores.impostors_from(edge) for edge in _edges()[1:-1].tolist()]
    at_or_above = np.array([scores.impostors, *between, 0])
    counts: list[int] = (at_or_above[:-1] - at_or_above[1:]).tolist()
    return counts
