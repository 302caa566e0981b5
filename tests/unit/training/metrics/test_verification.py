"""Scores of pairs, and 1:1 verification, against scikit-learn and against their definitions, ties included."""

import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from worker.training.metrics import (
    FaceSet,
    PairScores,
    count_pairs,
    rank1,
    score_pairs,
    separation,
    tar_at_far,
    verification,
    verification_auc,
)
from worker.training.metrics import faces as faces_module
from worker.training.metrics import impostor_sample as sample_module
from worker.training.metrics import pairs as pairs_module
from worker.training.metrics.pairs import THRESHOLDS, pairs_of_scores
from worker.training.metrics.top_scores import TopScores
from worker.training.metrics.verification import equal_error_rate, threshold_at_far

# Few distinct values, so that ties are the rule, or many; each a float32 exactly.
tied = st.integers(-5, 5).map(lambda value: float(np.float32(value / 5)))
scores = st.one_of(
    st.lists(tied, min_size=1, max_size=60), st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60)
)
CPU = torch.device("cpu")
FARS = st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5])


def exactly(value: float) -> object:
    return pytest.approx(value, abs=1e-9, rel=0)


def pairs(genuine: list[float], impostor: list[float]) -> PairScores:
    return pairs_of_scores(np.array(genuine, np.float32), np.array(impostor, np.float32))


def labelled(genuine: list[float], impostor: list[float]) -> tuple[list[int], list[float]]:
    return [1] * len(genuine) + [0] * len(impostor), [*genuine, *impostor]


@given(scores, scores)
def test_auc_is_that_of_scikit_learn(genuine: list[float], impostor: list[float]) -> None:
    expected = roc_auc_score(*labelled(genuine, impostor))
    assert verification_auc(pairs(genuine, impostor)) == exactly(expected)


@given(scores, scores, st.floats(-1, 1, width=32))
def test_impostors_are_counted_at_any_threshold(genuine: list[float], impostor: list[float], threshold: float) -> None:
    assert pairs(genuine, impostor).impostors_from(threshold) == sum(score >= threshold for score in impostor)


def test_of_more_pairs_than_are_kept_only_high_thresholds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "SAMPLED_IMPOSTORS", 100)
    monkeypatch.setattr(sample_module, "SAMPLED_IMPOSTORS", 100)
    impostor = np.linspace(-0.9999, 0.9999, 1000).astype(np.float32)
    found = pairs([0.5], impostor.tolist())
    assert found.impostors_from(0.9123) == int((impostor >= np.float32(0.9123)).sum())
    with pytest.raises(KeyError):
        found.impostors_from(0.1234)


@given(scores, scores, FARS)
def test_tar_is_the_best_point_of_scikit_learns_roc_at_or_under_the_far(
    genuine: list[float], impostor: list[float], far: float
) -> None:
    tar = tar_at_far(pairs(genuine, impostor), far, fewest_errors=1)
    if far * len(impostor) < 1:
        assert tar is None
        return
    false_rates, true_rates, _ = roc_curve(*labelled(genuine, impostor), drop_intermediate=False)
    assert tar == exactly(true_rates[false_rates <= far + 1e-9].max())


@given(scores, scores)
def test_the_eer_is_where_scikit_learns_roc_meets_the_diagonal(genuine: list[float], impostor: list[float]) -> None:
    roc = verification.roc_curve(pairs(genuine, impostor))
    assert roc is not None
    false_rates, true_rates, _ = roc_curve(*labelled(genuine, impostor), drop_intermediate=False)
    apart = false_rates - (1 - true_rates)  # rises
    low, high = 0.0, 1.0
    steps = np.linspace(0, 1, len(apart))
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.interp(middle, steps, apart) < 0 else (low, middle)
    assert equal_error_rate(roc) == exactly(np.interp(high, steps, false_rates))
    assert np.trapezoid(roc.tar, roc.far) == exactly(roc_auc_score(*labelled(genuine, impostor)))


@given(scores, st.lists(st.floats(-1, 1, width=32), min_size=10, max_size=200), st.sampled_from([0.01, 0.05, 0.1]))
def test_the_threshold_is_the_smallest_that_keeps_the_far(
    genuine: list[float], impostor: list[float], far: float
) -> None:
    threshold = threshold_at_far(pairs(genuine, impostor), far)
    assert threshold is not None
    accepted = np.array(impostor, np.float32) >= threshold
    assert accepted.mean() <= far + 1e-9
    just_lower = np.array(impostor, np.float32) >= np.nextafter(np.float32(threshold), np.float32(-2))
    assert just_lower.mean() > far - 1e-9
    tar = tar_at_far(pairs(genuine, impostor), far, fewest_errors=0)
    assert tar == exactly((np.array(genuine, np.float32) >= threshold).mean())


def test_the_far_is_never_over_its_target_where_scores_tie() -> None:
    def tar(impostor: list[float]) -> float | None:
        return tar_at_far(pairs([0.9, 0.5, 0.4], impostor), 0.01, fewest_errors=1)

    assert tar([0.5] * 2 + [0.0] * 98) == pytest.approx(1 / 3)
    assert tar([0.6] + [0.5] + [0.0] * 98) == pytest.approx(1 / 3)
    assert tar([0.6] + [0.4] + [0.0] * 98) == pytest.approx(2 / 3)


def test_too_few_pairs_give_no_rate() -> None:
    assert verification_auc(pairs([], [0.1])) is None
    assert verification_auc(pairs([0.1], [])) is None
    assert tar_at_far(pairs([0.5], [0.0] * 999), 0.01) is None
    assert tar_at_far(pairs([0.5], [0.0] * 1000), 0.01) == 1
    assert tar_at_far(pairs([], [0.0] * 1000), 0.01) is None
    assert verification.roc_curve(pairs([], [0.1])) is None
    assert threshold_at_far(pairs([0.1], []), 0.01) is None


@given(scores, scores)
def test_means_and_d_prime_are_their_definitions(genuine: list[float], impostor: list[float]) -> None:
    found = separation(pairs(genuine, impostor))
    assert found is not None
    assert found.genuine == exactly(float(np.mean(genuine)))
    assert found.impostor == exactly(float(np.mean(impostor)))
    deviation = math.sqrt((np.var(genuine) + np.var(impostor)) / 2)
    if deviation > 1e-6:
        assert found.d_prime == pytest.approx((np.mean(genuine) - np.mean(impostor)) / deviation, abs=1e-9, rel=1e-9)


@given(st.lists(st.lists(tied, max_size=3000), max_size=4), st.integers(1, 50))
def test_the_top_scores_are_the_highest(blocks: list[list[float]], count: int) -> None:
    top = TopScores(count, CPU)
    for block in blocks:
        top.offer(torch.tensor(sorted(block)))
    expected = np.sort(np.concatenate([np.array([], np.float32), *(np.array(block, np.float32) for block in blocks)]))
    assert top.descending().tolist() == expected[::-1][:count].tolist()


def test_the_top_scores_outlast_many_more_than_are_kept() -> None:
    top, drawn = TopScores(100, CPU), np.random.default_rng(0).normal(size=(50, 5000)).astype(np.float32)
    for block in drawn:
        top.offer(torch.from_numpy(np.sort(block)))
    assert top.descending().tolist() == np.sort(drawn.reshape(-1))[::-1][:100].tolist()


def unit(angles: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([[math.cos(angle), math.sin(angle)] for angle in angles], np.float32)


def test_all_pairs_but_each_image_with_itself() -> None:
    probes = FaceSet(unit([0.0, 0.1, 1.0]), ["a", "a", "b"], ["a_1", "a_2", "b_1"])
    gallery = FaceSet(unit([0.0, 0.2, 1.1, 1.5]), ["a", "a", "b", "c"], ["a_1", "a_3", "b_1", "c_1"])
    scored = score_pairs(probes, gallery)
    assert scored.genuine == pytest.approx(np.sort(np.cos([0.2, 0.1, 0.1])), abs=1e-6)
    assert [scored.subjects[subject] for subject in scored.genuine_subject] == ["a", "a", "a"]
    expected = sorted((math.cos(angle) for angle in (1.1, 1.5, 1.0, 1.4, 1.0, 0.8, 0.5)), reverse=True)
    assert scored.impostors == 7
    assert scored.sample.scores_K == pytest.approx(expected, abs=1e-6)
    assert scored.at_threshold[[0, 100, -1]].tolist() == [7, 7, 0]
    assert THRESHOLDS[100] == 0


def test_within_one_set_each_two_images_make_one_pair() -> None:
    faces = random_faces(30, 5)
    scored, doubled = score_pairs(faces, None), score_pairs(faces, faces)
    assert (2 * len(scored.genuine), 2 * scored.impostors) == (len(doubled.genuine), doubled.impostors)
    assert verification_auc(scored) == pytest.approx(verification_auc(doubled))
    assert (scored.sample.probe_subject_K != scored.sample.gallery_subject_K).all()


def random_faces(number: int, subjects: int) -> FaceSet:
    e_ND = np.random.default_rng(0).normal(size=(number, 8)).astype(np.float32)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    return FaceSet(e_ND, [f"{i % subjects}" for i in range(number)], [f"{i % subjects}_{i}" for i in range(number)])


@pytest.mark.parametrize("within", [False, True])
def test_blocks_of_probes_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch, within: bool) -> None:
    faces = random_faces(50, 7)
    gallery = None if within else faces
    whole = score_pairs(faces, gallery)
    whole_rank1 = rank1(faces, faces)
    monkeypatch.setattr(faces_module, "_SCORES_AT_ONCE", 350)
    monkeypatch.setattr(pairs_module, "_SORTED_AT_ONCE", 100)
    blocked = score_pairs(faces, gallery)
    np.testing.assert_allclose(blocked.genuine, whole.genuine, atol=1e-6)
    np.testing.assert_allclose(blocked.top_impostors, whole.top_impostors, atol=1e-6)
    assert len(blocked.top_impostors) == whole.impostors // 10 + 1
    np.testing.assert_allclose(blocked.sample.scores_K, whole.sample.scores_K, atol=1e-6)
    assert np.abs(blocked.at_or_above - whole.at_or_above).max() <= 1
    apart, whole_apart = separation(blocked), separation(whole)
    assert apart is not None
    assert whole_apart is not None
    assert astuple(apart) == pytest.approx(astuple(whole_apart), abs=1e-6)
    assert rank1(faces, faces) == whole_rank1
    counted = count_pairs(faces, gallery)
    np.testing.assert_array_equal(counted.at_or_above, blocked.at_or_above)
    assert separation(counted) == apart


def test_of_very_many_impostors_a_sample_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_module, "SAMPLED_IMPOSTORS", 10_000)
    faces = random_faces(600, 30)
    scored = score_pairs(faces, faces)
    sample = scored.sample.scores_K
    assert scored.impostors == 600 * 580
    assert len(sample) == pytest.approx(10_000, rel=0.1)
    assert sample.mean() == pytest.approx(scored.impostor_moments.mean, abs=0.02)
    assert (sample >= 0.5).mean() == pytest.approx(scored.at_threshold[150] / scored.impostors, abs=0.02)
    assert (scored.sample.probe_subject_K != scored.sample.gallery_subject_K).all()


@given(st.integers(1, 30), st.integers(0, 5))
@settings(max_examples=20)
def test_a_collapsed_network_has_the_rates_of_chance(images: int, spare: int) -> None:
    names = [f"{subject}_{image}" for subject in range(10) for image in range(images + 1)]
    # Sums of 1/256 are exact in whatever order a machine's BLAS adds them up: only exact ties are chance.
    e_ND = np.pad(np.full((len(names), 256), 1 / 16, np.float32), ((0, 0), (0, spare)))
    faces = FaceSet(e_ND, [name[0] for name in names], names)
    assert rank1(faces, faces) == pytest.approx(0.1)
    assert verification_auc(score_pairs(faces, faces)) == 0.5
