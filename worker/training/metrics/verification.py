"""1:1 verification: error rates of accepting pairs that score at or above a threshold."""

from dataclasses import dataclass

import numpy as np

from worker.training.metrics.faces import Booleans, Doubles, Floats, Integers
from worker.training.metrics.moments import Separation, separate
from worker.training.metrics.pairs import PairCounts, PairScores

FEWEST_ERRORS = 10
"""Fewest expected errors for which a rate is claimed. The "rule of 30" (Doddington et al., "The NIST speaker
recognition evaluation", 2000) demands more; the intervals show the uncertainty."""


def pairs_needed(rate: float, fewest_errors: int = FEWEST_ERRORS) -> int:
    """Return the fewest comparisons that an error rate in [0, 1] needs to be claimed."""
    return int(np.ceil(fewest_errors / rate - 1e-9))


def most_errors(rate: float, comparisons: int) -> int:
    """Return the most errors among the comparisons that keep the error rate at or below `rate`."""
    return int(rate * comparisons + 1e-9)  # 0.29 * 100 is 28.999999999999996


def separation(scores: PairCounts) -> Separation | None:
    """Return the separation of all pairs. None without a genuine or an impostor pair."""
    return separate(scores.genuine_moments, scores.impostor_moments)


def verification_auc(scores: PairCounts) -> float | None:
    """Return the area under the ROC curve in [0, 1]: the probability that a genuine pair scores above an impostor pair,
    with ties counted half.

    None without a genuine or an impostor pair.
    """
    if not len(scores.genuine) or not scores.impostors:
        return None
    above = (scores.above.mean() + scores.at_or_above.mean()) / 2
    return float(1 - above / scores.impostors)


def accepted_at_far(scores: PairCounts, far: float, fewest_errors: int = FEWEST_ERRORS) -> Booleans | None:
    """Return the mask [N] of the genuine pairs accepted at the smallest threshold with FAR <= `far`.

    None without a genuine pair, or with fewer than `fewest_errors` / far impostor pairs.
    """
    if scores.impostors < pairs_needed(far, fewest_errors) or not len(scores.genuine):
        return None
    accepted: Booleans = scores.at_or_above <= most_errors(far, scores.impostors)
    return accepted


def tar_at_far(scores: PairCounts, far: float, fewest_errors: int = FEWEST_ERRORS) -> float | None:
    """Return TAR in [0, 1] at FAR <= `far`. None as for `accepted_at_far`."""
    accepted = accepted_at_far(scores, far, fewest_errors)
    return None if accepted is None else float(accepted.mean())


def threshold_at_far(scores: PairScores, far: float) -> float | None:
    """Return the smallest threshold, a cosine, with FAR <= `far`, which is at most HIGHEST_FAR.

    None without impostor pairs.
    """
    allowed = most_errors(far, scores.impostors)
    if allowed >= len(scores.top_impostors):
        return None
    return float(np.nextafter(scores.top_impostors[allowed], np.float32(np.inf)))


@dataclass(frozen=True)
class Roc:
    """Corners of the ROC curve from (0, 0) to (1, 1): FAR and TAR, both ascending; or several curves [..., corners]."""

    far: Doubles
    tar: Doubles


def roc_curve(scores: PairCounts) -> Roc | None:
    """Return the exact curve, linear between its corners. None without a genuine or an impostor pair."""
    if not len(scores.genuine) or not scores.impostors:
        return None
    weight = np.ones(len(scores.genuine), np.int64)
    return roc_corners(scores.genuine, weight, scores.above, scores.at_or_above, scores.impostors)


def roc_corners(
    genuine: Floats, weight: Integers, above: Integers, at_or_above: Integers, impostors: int | Integers
) -> Roc:
    """Return the ROC curve of weighted pairs, or several curves of the same pairs.

    `genuine` [N] ascends, with `weight` [..., N]. `above` and `at_or_above` [..., N] are the weights of the impostors
    above, and at or above, each genuine score; `impostors`, a number or [..., 1], is their total.
    """
    first = np.flatnonzero(np.diff(genuine, prepend=np.float32(-np.inf)))[::-1]  # of equal scores
    reached = np.cumsum(weight[..., ::-1], -1)[..., ::-1][..., first]
    start = np.zeros_like(reached[..., :1])
    corners = *start.shape[:-1], 2 * len(first)
    before = np.concatenate([start, reached[..., :-1]], -1)
    far = np.stack([above[..., first], at_or_above[..., first]], -1).reshape(corners) / impostors
    tar = np.stack([before, reached], -1).reshape(corners) / reached[..., -1:]
    return Roc(np.concatenate([start, far, start + 1], -1), np.concatenate([start, tar, start + 1], -1))


def equal_error_rate(roc: Roc) -> float:
    """Return the rate in [0, 1] at which FAR equals FRR (false reject rate: the share of genuine pairs rejected)."""
    return float(equal_error_rates(roc))


def equal_error_rates(roc: Roc) -> Doubles:
    """Return the equal error rate of each curve [...]."""
    too_many = roc.far - (1 - roc.tar)
    after = np.argmax(too_many >= 0, -1, keepdims=True)
    sides = np.concatenate([after - 1, after], -1)
    (low, high), (far_low, far_high) = (
        np.moveaxis(np.take_along_axis(each, sides, -1), -1, 0) for each in (too_many, roc.far)
    )
    share = -low / (high - low)
    rates: Doubles = far_low + share * (far_high - far_low)
    return rates
