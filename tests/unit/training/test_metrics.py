"""Metrics against scikit-learn and against their definitions, ties included."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from worker.training.metrics import FaceSet, PairScores, rank1, score_pairs, tar_at_far, verification_auc

# Few distinct values, so that ties are the rule.
scores = st.lists(st.integers(-5, 5).map(lambda value: value / 5), min_size=1, max_size=60)


def pairs(genuine: list[float], impostor: list[float]) -> PairScores:
    as_floats = np.array(genuine, np.float32), np.sort(np.array(impostor, np.float32))
    return PairScores(*as_floats, np.zeros(len(genuine), np.int64))


def labelled(genuine: list[float], impostor: list[float]) -> tuple[list[int], list[float]]:
    return [1] * len(genuine) + [0] * len(impostor), [*genuine, *impostor]


@given(scores, scores)
def test_auc_is_that_of_scikit_learn(genuine: list[float], impostor: list[float]) -> None:
    expected = roc_auc_score(*labelled(genuine, impostor))
    assert verification_auc(pairs(genuine, impostor)) == pytest.approx(expected)


@given(scores, scores, st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5]))
def test_tar_is_the_best_point_of_scikit_learns_roc_at_or_under_the_far(
    genuine: list[float], impostor: list[float], far: float
) -> None:
    tar = tar_at_far(pairs(genuine, impostor), far)
    if far * len(impostor) < 1:
        assert tar is None
        return
    false_rates, true_rates, _ = roc_curve(*labelled(genuine, impostor), drop_intermediate=False)
    assert tar == pytest.approx(true_rates[false_rates <= far + 1e-9].max())


def test_the_far_is_never_over_its_target_where_scores_tie() -> None:
    assert tar_at_far(pairs([0.9, 0.5, 0.4], [0.5] * 2 + [0.0] * 98), 0.01) == pytest.approx(1 / 3)
    assert tar_at_far(pairs([0.9, 0.5, 0.4], [0.6] + [0.5] + [0.0] * 98), 0.01) == pytest.approx(1 / 3)
    assert tar_at_far(pairs([0.9, 0.5, 0.4], [0.6] + [0.4] + [0.0] * 98), 0.01) == pytest.approx(2 / 3)


def test_too_few_pairs_give_no_rate() -> None:
    assert verification_auc(pairs([], [0.1])) is None
    assert verification_auc(pairs([0.1], [])) is None
    assert tar_at_far(pairs([0.5], [0.0] * 99), 0.01) is None
    assert tar_at_far(pairs([], [0.0] * 100), 0.01) is None


def unit(angles: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array([[math.cos(angle), math.sin(angle)] for angle in angles], np.float32)


def test_all_pairs_but_each_image_with_itself() -> None:
    probes = FaceSet(unit([0.0, 0.1, 1.0]), ["a", "a", "b"], ["a_1", "a_2", "b_1"])
    gallery = FaceSet(unit([0.0, 0.2, 1.1, 1.5]), ["a", "a", "b", "c"], ["a_1", "a_3", "b_1", "c_1"])
    scored = score_pairs(probes, gallery)
    assert scored.genuine == pytest.approx(np.cos([0.2, 0.1, 0.1]), abs=1e-6)
    assert scored.genuine_probe.tolist() == [0, 1, 1]
    expected = sorted(math.cos(angle) for angle in (1.1, 1.5, 1.0, 1.4, 1.0, 0.8, 0.5))
    assert scored.impostor == pytest.approx(expected, abs=1e-6)


def slow_rank1(probes: FaceSet, gallery: FaceSet) -> float | None:
    images = {
        subject: [index for index, name in enumerate(gallery.subjects) if name == subject]
        for subject in sorted(set(gallery.subjects))
    }
    if len(images) < 2:
        return None
    hits = []
    for choice in range(max(map(len, images.values()))):
        chosen = {subject: indices[choice % len(indices)] for subject, indices in images.items()}
        for e_D, subject, name in zip(probes.embeddings, probes.subjects, probes.names, strict=True):
            if subject not in chosen or gallery.names[chosen[subject]] == name:
                continue
            of_subject = {other: round(float(e_D @ gallery.embeddings[index]), 5) for other, index in chosen.items()}
            best = max(of_subject.values())
            winners = [other for other, score in of_subject.items() if score == best]
            hits.append((subject in winners) / len(winners))
    return sum(hits) / len(hits) if hits else None


# Unit vectors along the axes: products are exactly -1, 0 or 1, so ties are exact.
face_sets = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12)


def face_set(drawn: list[tuple[str, int, int]]) -> FaceSet:
    axes = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    return FaceSet(
        axes[[axis for _, axis, _ in drawn]],
        [subject for subject, _, _ in drawn],
        [f"{subject}_{image}" for subject, _, image in drawn],
    )


@given(face_sets, face_sets)
@settings(max_examples=300)
def test_rank1_is_its_definition(probes: list[tuple[str, int, int]], gallery: list[tuple[str, int, int]]) -> None:
    expected = slow_rank1(face_set(probes), face_set(gallery))
    assert rank1(face_set(probes), face_set(gallery)) == (None if expected is None else pytest.approx(expected))


def test_a_collapsed_network_has_the_rank1_of_chance() -> None:
    names = [f"{subject}_{image}" for subject in range(10) for image in range(2)]
    faces = FaceSet(np.ones((20, 1), np.float32), [name[0] for name in names], names)
    assert rank1(faces, faces) == pytest.approx(0.1)
    assert verification_auc(score_pairs(faces, faces)) == 0.5


def test_blocks_of_probes_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    e_ND = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    faces = FaceSet(e_ND, [f"{i % 7}" for i in range(50)], [f"{i % 7}_{i}" for i in range(50)])
    whole = score_pairs(faces, faces)
    whole_rank1 = rank1(faces, faces)
    monkeypatch.setattr("worker.training.metrics._PROBES_AT_ONCE", 7)
    blocked = score_pairs(faces, faces)
    np.testing.assert_allclose(blocked.genuine, whole.genuine, atol=1e-6)
    np.testing.assert_allclose(blocked.impostor, whole.impostor, atol=1e-6)
    assert blocked.genuine_probe.tolist() == whole.genuine_probe.tolist()
    assert rank1(faces, faces) == whole_rank1
