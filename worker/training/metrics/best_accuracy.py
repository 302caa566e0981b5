"""Verification accuracy by the protocol of LFW (Labeled Faces in the Wild): cross-validated threshold."""

from dataclasses import dataclass

import numpy as np

from worker.training.metrics.faces import Booleans, Doubles, Floats, Integers
from worker.training.metrics.pairs import PairScores

FOLDS = 10


@dataclass(frozen=True)
class BestAccuracy:
    """Mean accuracy over the folds and its standard error, both in [0, 1], and the folds' mean threshold (a cosine)."""

    accuracy: float
    standard_error: float
    threshold: float
    folds: int


def best_accuracy(scores: PairScores) -> BestAccuracy | None:
    """Return the accuracy on each fold's subjects at the threshold that is best for all other subjects.

    Huang et al., "Labeled Faces in the Wild", 2007, view 2, with folds over subjects. Accuracy is the mean of the
    shares of genuine pairs accepted and of impostor pairs rejected, since LFW has equally many of both. With fewer than
    20 subjects there are fewer folds, of two subjects each. None if fewer than two folds have pairs of both kinds.
    """
    fold_S = _folds(len(scores.subjects))
    sample = scores.sample
    genuine_fold_N = fold_S[scores.genuine_subject]
    probe_fold_K, gallery_fold_K = fold_S[sample.probe_subject_K], fold_S[sample.gallery_subject_K]
    accuracies, thresholds = [], []
    for fold in range(fold_S.max(initial=-1) + 1):
        inside = (
            scores.genuine[genuine_fold_N == fold],
            _scores_where(sample.scores_K, (probe_fold_K == fold) & (gallery_fold_K == fold)),
        )
        outside = (
            scores.genuine[genuine_fold_N != fold],
            _scores_where(sample.scores_K, (probe_fold_K != fold) & (gallery_fold_K != fold)),
        )
        if all(map(len, (*inside, *outside))):
            threshold = float(outside[0][np.argmax(_accuracies(*outside, outside[0]).round(12))])
            thresholds.append(threshold)
            accuracies.append(float(_accuracies(*inside, np.array([threshold], np.float32))[0]))
    if len(accuracies) < 2:
        return None
    deviation = np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    return BestAccuracy(float(np.mean(accuracies)), float(deviation), float(np.mean(thresholds)), len(accuracies))


def _folds(subjects: int) -> Integers:
    order = np.random.default_rng(0).permutation(subjects)
    fold_S = np.empty(subjects, np.int64)
    fold_S[order] = np.arange(subjects) % max(1, min(FOLDS, subjects // 2))
    return fold_S


def _scores_where(descending: Floats, chosen: Booleans) -> Floats:
    return descending[chosen][::-1]


def _accuracies(genuine: Floats, impostor: Floats, thresholds: Floats) -> Doubles:
    """Return the accuracy at each threshold. Both kinds of scores must ascend."""
    accepted = 1 - np.searchsorted(genuine, thresholds, side="left") / len(genuine)
    rejected = np.searchsorted(impostor, thresholds, side="left") / len(impostor)
    accuracies: Doubles = (accepted + rejected) / 2
    return accuracies
