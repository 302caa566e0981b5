"""1:N identification against its definitions, searched one probe at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.training.metrics import FaceSet, rank1
from worker.training.metrics.identification import Mates, rank_rate, search
from worker.training.metrics.open_set import dir_at_fpir, non_mated, open_set, open_set_searches, rank_together

# Unit vectors along the axes: products are exactly -1, 0 or 1, so ties are exact.
Drawn = list[tuple[str, int, int]]
face_sets = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=14
)


def face_set(drawn: Drawn) -> FaceSet:
    axes = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    return FaceSet(
        axes[[axis for _, axis, _ in drawn]],
        [subject for subject, _, _ in drawn],
        [f"{subject}_{image}" for subject, _, image in drawn],
    )


def enrolments(gallery: FaceSet, mates: Mates) -> list[dict[str, list[int]]]:
    images: dict[str, list[int]] = {}
    for index, subject in enumerate(gallery.subjects):
        images.setdefault(subject, []).append(index)
    if mates == "all":
        return [images]
    choices = range(max(map(len, images.values())))
    return [{subject: [of[choice % len(of)]] for subject, of in images.items()} for choice in choices]


def scores_by_subject(
    probes: FaceSet, probe: int, gallery: FaceSet, enrolled: dict[str, list[int]]
) -> dict[str, float]:
    found = {}
    for subject, images in enrolled.items():
        others = [image for image in images if gallery.names[image] != probes.names[probe]]
        if others:
            found[subject] = max(float(probes.embeddings[probe] @ gallery.embeddings[image]) for image in others)
    return found


def slow_rank_rate(probes: FaceSet, gallery: FaceSet, mates: Mates, rank: int) -> float | None:
    if len(set(gallery.subjects)) < 2:
        return None
    hits = []
    for enrolled in enrolments(gallery, mates):
        for probe, subject in enumerate(probes.subjects):
            scores = scores_by_subject(probes, probe, gallery, enrolled)
            if subject in scores:
                better = sum(score > scores[subject] for score in scores.values())
                alike = sum(score == scores[subject] for score in scores.values())
                hits.append(sum(better + place < rank for place in range(alike)) / alike)
    return sum(hits) / len(hits) if hits else None


@given(face_sets, face_sets, st.sampled_from(["one", "all"]), st.integers(1, 5))
@settings(max_examples=300)
def test_rank_rates_are_their_definition(probes: Drawn, gallery: Drawn, mates: Mates, rank: int) -> None:
    expected = slow_rank_rate(face_set(probes), face_set(gallery), mates, rank)
    found = rank_rate(search(face_set(probes), face_set(gallery), mates), rank)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))
    if mates == "one" and rank == 1:
        assert rank1(face_set(probes), face_set(gallery)) == found


def noisy(subjects: str, images: int, noise: float, seed: int = 1) -> FaceSet:
    centres = {name: np.random.default_rng(ord(name)).normal(size=16) for name in subjects}
    names = [f"{name}_{image}" for name in subjects for image in range(images)]
    e_ND = np.array([centres[name[0]] for name in names])
    e_ND = e_ND + noise * np.random.default_rng(seed).normal(size=e_ND.shape)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    return FaceSet(e_ND.astype(np.float32), [name[0] for name in names], names)


def slow_dir(probes: FaceSet, gallery: FaceSet, enrolled: list[set[str]], fpir: float) -> float:
    mated, strangers = [], []
    for people in enrolled:
        (images,) = enrolments(gallery, "all")
        images = {subject: of for subject, of in images.items() if subject in people}
        for probe, subject in enumerate(probes.subjects):
            scores = scores_by_subject(probes, probe, gallery, images)
            best = max(scores, key=scores.__getitem__)
            if subject not in people:
                strangers.append(scores[best])
            elif subject in scores:
                mated.append(scores[subject] if best == subject else -2.0)
    thresholds = [threshold for threshold in [*strangers, *mated, 2.0] if threshold > -2]
    allowed = [t for t in thresholds if np.mean(np.array(strangers) >= t) <= fpir]
    return max(float(np.mean(np.array(mated) >= t)) for t in allowed)


@pytest.mark.parametrize("fpir", [0.01, 0.1])
@pytest.mark.parametrize("noise", [0.3, 0.8, 1.5])
def test_dir_with_strangers_among_the_probes_is_its_definition(fpir: float, noise: float) -> None:
    gallery, probes = noisy("abcdef", 4, 0.3, seed=2), noisy("abcdefghij", 12, noise)
    searches = open_set_searches(probes, gallery, in_halves=False)
    assert non_mated(searches) == 4 * 12
    found = dir_at_fpir(rank_together(searches), fpir, fewest_errors=0)
    assert found is not None
    assert found.detected == pytest.approx(slow_dir(probes, gallery, [set("abcdef")], fpir), abs=1e-9)


def test_without_strangers_either_half_of_the_people_are_strangers_to_the_other() -> None:
    faces = noisy("abcdef", 10, 0.9)
    first, second = searches = open_set_searches(faces, faces, in_halves=True)
    assert non_mated(searches) == 60
    halves = [{faces.subjects[probe] for probe in each.probe_Q[each.mated_Q]} for each in (first, second)]
    assert halves[0] | halves[1] == set("abcdef")
    assert not halves[0] & halves[1]
    found = dir_at_fpir(rank_together(searches), 0.1, fewest_errors=6)
    assert found is not None
    assert found.detected == pytest.approx(slow_dir(faces, faces, halves, 0.1), abs=1e-9)
    strangers = np.concatenate([each.best_other_Q[~each.mated_Q] for each in searches])
    assert (strangers >= found.threshold).sum() <= 6 < (strangers >= found.threshold - 1e-6).sum()


def test_too_few_strangers_give_no_rate() -> None:
    faces = noisy("abcdef", 10, 0.9)
    ranked = rank_together(open_set_searches(faces, faces, in_halves=True))
    assert dir_at_fpir(ranked, 0.1) is None
    assert dir_at_fpir(ranked, 0.2) is not None


@pytest.mark.parametrize(("strangers", "alone"), [(0, False), (1, False), (9, False), (10, True)])
def test_strangers_stand_alone_where_they_suffice_and_otherwise_join_the_halves(strangers: int, alone: bool) -> None:
    gallery, probes = noisy("abcdef", 10, 0.3, seed=2), noisy("abcdef", 10, 0.9, seed=1)
    stray = noisy("z", strangers or 1, 0.9, seed=3)
    if strangers:
        probes = FaceSet(
            np.concatenate([probes.embeddings, stray.embeddings]),
            [*probes.subjects, *stray.subjects],
            [*probes.names, *stray.names],
        )
    ranked = open_set(probes, gallery, (1.0, 0.2))
    assert len(ranked[1.0].non_mated_scores) == (strangers if alone else 60 + 2 * strangers)
    assert ranked[1.0].galleries == (1 if alone else 2)
    assert ranked[0.2].galleries == 2, "50 strangers are needed for that"
    assert dir_at_fpir(ranked[0.2], 0.2) is not None, "nor does a stray one take it away"


def test_people_have_one_number_whoever_is_enrolled() -> None:
    probes, gallery = noisy("bcde", 3, 0.9), noisy("abcdef", 3, 0.3, seed=2)
    for each in open_set_searches(probes, gallery, in_halves=True):
        assert list(each.subjects) == list("abcdef")
        assert [each.subjects[who] for who in each.subject_Q] == [probes.subjects[probe] for probe in each.probe_Q]
