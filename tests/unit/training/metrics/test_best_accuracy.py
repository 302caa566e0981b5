"""The best threshold of some people, tried on others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.training.metrics.best_accuracy import _folds, best_accuracy
from worker.training.metrics.pairs import PairScores, pairs_of_scores


def pairs_among(subjects: int, seed: int) -> PairScores:
    """Three genuine pairs of each subject, and two pairs of each two."""
    random = np.random.default_rng(seed)
    first, second = np.array([(a, b) for a in range(subjects) for b in range(subjects) if a != b]).T
    return pairs_of_scores(
        np.round(random.normal(0.5, 0.2, 3 * subjects), 2).astype(np.float32),
        np.round(random.normal(0.0, 0.2, len(first)), 2).astype(np.float32),
        subjects=[f"{subject:03}" for subject in range(subjects)],
        genuine_subject=np.repeat(np.arange(subjects), 3),
        impostor_subjects=(first, second),
    )


@pytest.mark.slow
@given(st.integers(4, 12) | st.just(21), st.integers(0, 1000))
@settings(max_examples=12, deadline=None)
def test_each_fold_is_judged_by_the_best_threshold_of_the_others(subjects: int, seed: int) -> None:
    scores = pairs_among(subjects, seed)
    found = best_accuracy(scores)
    assert found is not None
    fold_of = _folds(subjects)
    assert found.folds == min(10, subjects // 2)
    accuracies = []
    for fold in range(found.folds):

        def accuracy(threshold: float, inside: bool, fold: int = fold) -> float:
            genuine = [
                score >= threshold
                for score, subject in zip(scores.genuine, scores.genuine_subject, strict=True)
                if (fold_of[subject] == fold) == inside
            ]
            sample = scores.sample
            impostor = [
                score < threshold
                for score, a, b in zip(sample.scores_K, sample.probe_subject_K, sample.gallery_subject_K, strict=True)
                if (fold_of[a] == fold) == (fold_of[b] == fold) == inside
            ]
            return float((np.mean(genuine) + np.mean(impostor)) / 2)

        others = scores.genuine[fold_of[scores.genuine_subject] != fold]
        best = max(sorted(others.tolist()), key=lambda threshold: round(accuracy(threshold, inside=False), 12))
        everywhere = max(accuracy(threshold, inside=False) for threshold in {*scores.genuine, *scores.sample.scores_K})
        assert accuracy(best, inside=False) == pytest.approx(everywhere), "no impostor's score would be better"
        accuracies.append((accuracy(best, inside=False), accuracy(best, inside=True)))
    inside = [judged for _, judged in accuracies]
    assert found.accuracy == pytest.approx(np.mean(inside), abs=1e-9)
    assert found.standard_error == pytest.approx(np.std(inside, ddof=1) / np.sqrt(found.folds), abs=1e-9)


def test_people_apart_are_told_apart() -> None:
    scores = pairs_of_scores(
        np.linspace(0.6, 0.9, 20).astype(np.float32),
        np.linspace(-0.2, 0.3, 380).astype(np.float32),
        subjects=[str(subject) for subject in range(20)],
        genuine_subject=np.arange(20),
        impostor_subjects=tuple(np.array([(a, b) for a in range(20) for b in range(20) if a != b]).T),
    )
    found = best_accuracy(scores)
    assert found is not None
    assert found.accuracy == pytest.approx(1.0, abs=0.06), "the lowest genuine pair may lie in the fold tried"
    assert 0.6 <= found.threshold < 0.65


def test_two_folds_need_four_people() -> None:
    assert best_accuracy(pairs_among(3, 0)) is None
    assert best_accuracy(pairs_among(4, 0)) is not None
