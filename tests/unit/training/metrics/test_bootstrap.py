"""The bootstrap against the same draws made by repeating rows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from worker.training.metrics import FaceSet, score_pairs, tar_at_far
from worker.training.metrics.bootstrap import (
    Interval,
    draw_dir,
    draw_rank_rate,
    draw_subjects,
    draw_verification,
    interval,
)
from worker.training.metrics.identification import rank_rate, search
from worker.training.metrics.open_set import dir_at_fpir, open_set_searches, rank_together
from worker.training.metrics.verification import equal_error_rate, verification_auc
from worker.training.metrics.verification import roc_curve as exact_roc_curve


def noisy(noise: float, subjects: int = 8, images: int = 6, seed: int = 0) -> FaceSet:
    random = np.random.default_rng(seed)
    e_ND = np.repeat(random.normal(size=(subjects, 16)), images, axis=0)
    e_ND = e_ND + noise * random.normal(size=e_ND.shape)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    names = [f"{subject}_{image}" for subject in range(subjects) for image in range(images)]
    return FaceSet(e_ND.astype(np.float32), [name.split("_")[0] for name in names], names)


def all_pairs(faces: FaceSet, drawn: npt.NDArray[np.int64]) -> tuple[list[int], list[float]]:
    """Each pair as often as it counts in this draw."""
    labels, scores = [], []
    matrix = faces.embeddings @ faces.embeddings.T
    for i, a in enumerate(faces.subjects):
        for j, b in enumerate(faces.subjects):
            if i != j:
                times = drawn[int(a)] if a == b else drawn[int(a)] * drawn[int(b)]
                labels += [int(a == b)] * times
                scores += [float(matrix[i, j])] * times
    return labels, scores


@given(st.integers(0, 100), st.floats(0.3, 2))
@settings(max_examples=10, deadline=None)
def test_a_draw_is_the_rate_of_the_pairs_repeated(seed: int, noise: float) -> None:
    faces = noisy(noise, seed=seed)
    drawn = draw_subjects(8, draws=1, seed=seed)
    assert drawn.sum() == 8
    found = draw_verification(score_pairs(faces, faces), drawn, (0.01, 0.1))
    labels, scores = all_pairs(faces, drawn[0])
    if len(set(labels)) < 2:
        assert np.isnan(found.auc[0])
        return
    assert found.auc[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    false_rates, true_rates, _ = roc_curve(labels, scores, drop_intermediate=False)
    for far, tar in found.tar.items():
        assert tar[0] == pytest.approx(true_rates[false_rates <= far + 1e-12].max(), abs=1e-9)
    misses = np.maximum(false_rates, 1 - true_rates).min(), np.minimum(false_rates, 1 - true_rates).max()
    assert misses[1] - 1e-9 <= found.eer[0] <= misses[0] + 1e-9


def test_a_draw_is_the_same_alone_and_among_many() -> None:
    scores = score_pairs(noisy(1.0), None)
    many_of_few = [[200, 30, 1, 0, 0, 0, 0, 1], [8, 0, 0, 0, 0, 0, 0, 0]]
    drawn = np.concatenate([draw_subjects(8, draws=150), many_of_few])
    together = draw_verification(scores, drawn, (0.01, 0.1))
    for row in (0, 63, 64, 149, 150, 151):
        alone = draw_verification(scores, drawn[[row]], (0.01, 0.1))
        for far in (0.01, 0.1):
            np.testing.assert_array_equal(together.tar[far][row], alone.tar[far][0])
        np.testing.assert_array_equal([together.auc[row], together.eer[row]], [alone.auc[0], alone.eer[0]])
    assert np.isnan(together.auc[151]), "one subject has no impostor pair"


def test_a_draw_counts_pairs_of_often_drawn_subjects_exactly() -> None:
    faces, drawn = noisy(1.0, images=2), np.array([[40, 20, 3, 0, 0, 0, 0, 1]])
    found = draw_verification(score_pairs(faces, faces), drawn, ())
    assert found.auc[0] == pytest.approx(roc_auc_score(*all_pairs(faces, drawn[0])), abs=1e-9)


def test_everybody_drawn_once_gives_the_rates_themselves() -> None:
    faces, once = noisy(1.0), np.ones((1, 8), np.int64)
    scores = score_pairs(faces, faces)
    found = draw_verification(scores, once, (0.01,))
    roc = exact_roc_curve(scores)
    assert roc is not None
    assert found.auc[0] == pytest.approx(verification_auc(scores), abs=1e-12)
    assert found.eer[0] == pytest.approx(equal_error_rate(roc), abs=1e-12)
    assert found.tar[0.01][0] == tar_at_far(scores, 0.01)
    searches = search(faces, faces, "one")
    assert draw_rank_rate(searches, 1, once)[0] == pytest.approx(rank_rate(searches, 1))
    ranked = rank_together(open_set_searches(faces, faces, in_halves=True))
    detected = dir_at_fpir(ranked, 0.1, fewest_errors=1)
    assert detected is not None
    assert draw_dir(ranked, 0.1, once)[0] == pytest.approx(detected.detected)


def test_rank_rates_and_dir_count_each_search_as_often_as_its_person() -> None:
    faces, drawn = noisy(1.5), np.array([[3, 0, 0, 5, 0, 0, 0, 0], [0, 0, 8, 0, 0, 0, 0, 0]])
    searches = search(faces, faces, "all")
    credit = searches.credit(1).reshape(8, 6).mean(1)
    assert draw_rank_rate(searches, 1, drawn) == pytest.approx([(3 * credit[0] + 5 * credit[3]) / 8, credit[2]])
    ranked = rank_together(open_set_searches(faces, faces, in_halves=True))
    strangers = np.repeat(ranked.non_mated_scores, drawn[0][ranked.non_mated_subject])
    threshold = np.sort(strangers)[::-1][int(0.1 * len(strangers))]
    own_beats = ranked.rivals <= (ranked.non_mated_scores > threshold).sum()
    weight = drawn[0][ranked.subject]
    expected = (weight * ranked.credit * own_beats).sum() / weight.sum()
    assert draw_dir(ranked, 0.1, drawn)[0] == pytest.approx(expected)


def coverage(found: Callable[[FaceSet], Interval | None], true: float) -> float:
    hits = [
        (each := found(noisy(1.2, 20, 4, seed))) is not None and each.low <= true <= each.high for seed in range(60)
    ]
    return float(np.mean(hits))


def test_most_intervals_hold_the_rate_of_very_many_people() -> None:
    true = tar_at_far(score_pairs(noisy(1.2, 1500, 4, seed=999), None), 0.01)
    assert true is not None

    def found(faces: FaceSet) -> Interval | None:
        return interval(draw_verification(score_pairs(faces, None), draw_subjects(20, draws=200), (0.01,)).tar[0.01])

    covered = coverage(found, true)
    assert 0.85 <= covered <= 1.0


def test_the_interval_of_a_difference_is_narrower_than_the_systems_own() -> None:
    drawn = draw_subjects(8)
    before, after = (
        draw_verification(score_pairs(noisy(noise), None), drawn, (0.01,)).tar[0.01] for noise in (1.0, 1.02)
    )
    difference, own = interval(after - before), interval(after)
    assert difference is not None
    assert own is not None
    assert difference.high - difference.low < 0.5 * (own.high - own.low)


def test_draws_without_a_rate_are_left_out_unless_they_are_the_most() -> None:
    assert interval(np.array([np.nan, 0.5, 0.5])) == Interval(0.5, 0.5)
    assert interval(np.array([np.nan, np.nan, 0.5])) is None
