"""1:1 verification: is this the same person? Error rates of accepting pairs that score at or above a threshold."""

from dataclasses import dataclass

import numpy as np

from worker.training.metrics.faces import Booleans, Doubles, Floats, Integers
from worker.training.metrics.moments import Separation, separate
from worker.training.metrics.pairs import PairScores

FEWEST_ERRORS = 10
"""A rate is claimed only where at least this many errors would make it up. The "rule of 30" (Doddington et al., "The
NIST speaker recognition evaluation", 2000) asks for more: the intervals say how much is known."""


def pairs_needed(rate: float, fewest_errors: int = FEWEST_ERRORS) -> int:
    """Comparisons without which an error rate in 0..1 cannot be claimed."""
    return int(np.ceil(fewest_errors / rate - 1e-9))


def most_errors(rate: float, comparisons: int) -> int:
    """How many of the comparisons may be wrong for the error rate to be `rate` or less."""
    return int(rate * comparisons + 1e-9)  # 0.29 * 100 is 28.999999999999996


def separation(scores: PairScores) -> Separation | None:
    """None without a genuine or an impostor pair."""
    return separate(scores.genuine_moments, scores.impostor_moments)


def verification_auc(scores: PairScores) -> float | None:
    """Area under the ROC curve in 0..1: the chance that a genuine pair scores above an impostor pair, ties half.

    None without a genuine or an impostor pair.
    """
    if not len(scores.genuine) or not scores.impostors:
        return None
    above = (scores.above.mean() + scores.at_or_above.mean()) / 2
    return float(1 - above / scores.impostors)


def accepted_at_far(scores: PairScores, far: float, fewest_errors: int = FEWEST_ERRORS) -> Booleans | None:
    """Which genuine pairs [N] are accepted at the smallest threshold that keeps FAR at or under `far`, never over it.

    None without a genuine pair, or with fewer than `fewest_errors` / far impostor pairs.
    """
    if scores.impostors < pairs_needed(far, fewest_errors) or not len(scores.genuine):
        return None
    accepted: Booleans = scores.at_or_above <= most_errors(far, scores.impostors)
    return accepted


def tar_at_far(scores: PairScores, far: float, fewest_errors: int = FEWEST_ERRORS) -> float | None:
    """The share of genuine pairs accepted at a FAR of at most `far`, in 0..1; None as for `accepted_at_far`."""
    accepted = accepted_at_far(scores, far, fewest_errors)
    return None if accepted is None else float(accepted.mean())


def threshold_at_far(scores: PairScores, far: float) -> float | None:
    """The smallest cosine at or above which pairs can be accepted with a FAR of at most `far`, up to HIGHEST_FAR.

    None without impostor pairs.
    """
    allowed = most_errors(far, scores.impostors)
    if allowed >= len(scores.top_impostors):
        return None
    return float(np.nextafter(scores.top_impostors[allowed], np.float32(np.inf)))


@dataclass(frozen=True)
class Roc:
    """Corners of the ROC curve, from (0, 0) to (1, 1): FAR and TAR, both rising."""

    far: Doubles
    tar: Doubles


def roc_curve(scores: PairScores) -> Roc | None:
    """Exact: straight lines between the corners are the curve. None without a genuine or an impostor pair."""
    if not len(scores.genuine) or not scores.impostors:
        return None
    weight = np.ones(len(scores.genuine), np.int64)
    return roc_corners(scores.genuine, weight, scores.above, scores.at_or_above, scores.impostors)


def roc_corners(genuine: Floats, weight: Integers, above: Integers, at_or_above: Integers, impostors: float) -> Roc:
    """The ROC curve where genuine scores [N], ascending, count `weight` times, and impostors as told: `above` and
    `at_or_above` each genuine score, of `impostors` in all."""
    first = np.flatnonzero(np.diff(genuine, prepend=np.float32(-np.inf)))[::-1]  # of those that score alike
    reached = np.cumsum(weight[::-1])[::-1][first]
    far = np.stack([above[first], at_or_above[first]], axis=1).reshape(-1) / impostors
    tar = np.stack([np.concatenate([[0], reached[:-1]]), reached], axis=1).reshape(-1) / reached[-1]
    return Roc(np.concatenate([[0.0], far, [1.0]]), np.concatenate([[0.0], tar, [1.0]]))


def equal_error_rate(roc: Roc) -> float:
    """Where FAR equals the share of genuine pairs rejected (FRR), on the ROC curve; in 0..1."""
    too_many = roc.far - (1 - roc.tar)
    after = int(np.argmax(too_many >= 0))
    before = after - 1
    share = -too_many[before] / (too_many[after] - too_many[before])
    return float(roc.far[before] + share * (roc.far[after] - roc.far[before]))
