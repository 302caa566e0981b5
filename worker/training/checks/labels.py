"""Judges the labels of HR images by their embeddings: wrong names, and two people under one name.

docs/decisions/0014 has their figures on real faces. Memory and time grow with images x subjects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.finetune.label_judgement import (
    CLEAR_AUC,
    CLEAR_D_PRIME,
    LISTED,
    LabelJudgement,
    LikelyMislabelled,
    LikelyTwoPeople,
)
from worker.training.metrics import FaceSet, count_pairs, separation, verification_auc

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# Shape suffixes: N faces, S subjects, K faces of one subject, D = 512 dimensions.

_AT_ONCE = 2**22
_MEASURED = 4096
_SPLIT_ROUNDS = 10
_GROUPS_OWN = 0.5
_NAMED_FROM_AUC = 0.95
_MOST_WRONG = 0.3


@dataclass(frozen=True)
class Criteria:
    """`nearer`: how much nearer an image is to another subject than to its own, in gaps between genuine and impostor
    pairs: about 1 for a wrong name; clean aligned faces reach 0.02, clean unaligned ones 0.42.

    `groups_alike`: limit of the similarity of two groups of a subject's images on a scale from impostor pairs (0) to
    the group's own (1). Halves of one person's images have 0.45 or more if aligned, those of two people -0.3 to 0.2.
    """

    nearer: float
    groups_alike: float


CLEAR, UNCLEAR = Criteria(nearer=0.2, groups_alike=0.3), Criteria(nearer=0.5, groups_alike=0.1)
"""For faces whose embeddings separate the people, and for others."""


class _Separation(NamedTuple):
    auc: float | None
    d_prime: float | None
    genuine: float | None
    impostor: float | None
    genuine_pairs: int = 0

    @property
    def unclear(self) -> bool:
        return self.d_prime is not None and self.d_prime < CLEAR_D_PRIME and (self.auc or 0.0) < CLEAR_AUC


@dataclass(frozen=True)
class _Labels:
    """Each face's subject, its mean similarity to its own subject's other faces (NaN without one), and the nearest
    other subject with that similarity. `impostor` and `gap` are medians over all faces."""

    names: list[str]
    subject_N: Integers
    own_N: Doubles
    nearest_N: Integers
    other_N: Doubles
    typical_S: Integers
    impostor: float
    gap: float


def judge_labels(faces: FaceSet, on_block: Callable[[], None] = lambda: None) -> LabelJudgement:
    """Judge HR faces and their subjects. `on_block` is called now and then and may raise."""
    measured = _measure_separation(faces)
    subjects = len(set(faces.subjects))
    if measured.auc is None:
        return LabelJudgement(images=len(faces), subjects=subjects, auc=None)
    labels = _compare(faces, on_block)
    found = _find_wrong(faces, labels, CLEAR)
    left = _measure_separation(found.corrected(faces))
    if left.unclear:
        found = _find_wrong(faces, labels, UNCLEAR)
        left = _measure_separation(found.corrected(faces))
    hopeless = left.unclear and (left.auc or 0.0) < _NAMED_FROM_AUC
    if hopeless or found.wrong_N.mean() > _MOST_WRONG:
        # Here an image that is nearer to another subject says nothing about its name.
        found, left = _Wrong([], [], np.zeros(len(faces), np.bool_), list(faces.subjects)), measured
    return LabelJudgement(
        images=len(faces),
        subjects=subjects,
        genuine_pairs=measured.genuine_pairs,
        auc=measured.auc,
        d_prime=measured.d_prime,
        genuine_mean=measured.genuine,
        impostor_mean=measured.impostor,
        auc_left=left.auc,
        d_prime_left=left.d_prime,
        mislabelled_images=len(found.mislabelled),
        mislabelled=found.mislabelled[:LISTED],
        subjects_of_two_people=len(found.two_people),
        two_people=found.two_people[:LISTED],
    )


@dataclass(frozen=True)
class _Wrong:
    """`wrong_N` are the mislabelled images, `subjects` everybody's after each subject of two people became two."""

    mislabelled: list[LikelyMislabelled]
    two_people: list[LikelyTwoPeople]
    wrong_N: Booleans
    subjects: list[str]

    def corrected(self, faces: FaceSet) -> FaceSet:
        """Return the faces without the mislabelled ones."""
        return FaceSet(faces.embeddings, self.subjects, faces.names).only(~self.wrong_N)


def _find_wrong(faces: FaceSet, labels: _Labels, criteria: Criteria) -> _Wrong:
    """Find wrong names first, and two people among the other images."""
    margin_N = (labels.other_N - labels.own_N) / labels.gap
    wrong_N = np.isfinite(margin_N) & (margin_N >= criteria.nearer)
    subjects = list(faces.subjects)
    two_people = []
    order = np.argsort(labels.subject_N, kind="stable")
    bounds = np.searchsorted(labels.subject_N[order], np.arange(len(labels.names) + 1))
    for subject, (start, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        places_K = order[start:end]
        groups = _split(faces, places_K[~wrong_N[places_K]], labels, criteria)
        if groups is None:
            continue
        first, second, similarity, within = groups
        # An image may be unlike the mean of two people, and like one of them.
        means_2D = np.stack([faces.embeddings[group].mean(0) for group in (first, second)])
        to_groups_K2 = faces.embeddings[places_K] @ means_2D.T
        wrong_N[places_K] &= labels.other_N[places_K] - to_groups_K2.max(1) >= criteria.nearer * labels.gap
        for place in places_K[to_groups_K2.argmax(1) == 1].tolist():
            subjects[place] += "\0second"
        two_people.append(
            LikelyTwoPeople(
                subject=labels.names[subject],
                first=[faces.names[place] for place in first],
                second=[faces.names[place] for place in second],
                similarity=similarity,
                within=within,
            )
        )
    clearest = sorted(np.flatnonzero(wrong_N).tolist(), key=lambda place: -float(margin_N[place]))
    return _Wrong([_mislabelled(faces, labels, place) for place in clearest], two_people, wrong_N, subjects)


def _mislabelled(faces: FaceSet, labels: _Labels, place: int) -> LikelyMislabelled:
    own, nearest = int(labels.subject_N[place]), int(labels.nearest_N[place])
    return LikelyMislabelled(
        image=faces.names[place],
        subject=labels.names[own],
        nearest=labels.names[nearest],
        similarity_to_own=float(labels.own_N[place]),
        similarity_to_nearest=float(labels.other_N[place]),
        example_of_own=faces.names[labels.typical_S[own]],
        example_of_nearest=faces.names[labels.typical_S[nearest]],
    )


def _compare(faces: FaceSet, on_block: Callable[[], None]) -> _Labels:
    """Compare each face with the mean of each subject, in blocks."""
    names, subject_N = np.unique(np.asarray(faces.subjects), return_inverse=True)
    order = np.argsort(subject_N, kind="stable")
    starts_S = np.searchsorted(subject_N[order], np.arange(len(names)))
    count_S = np.bincount(subject_N, minlength=len(names)).astype(np.float64)
    sums_SD = np.add.reduceat(faces.embeddings[order].astype(np.float64), starts_S)
    means_SD = (sums_SD / count_S[:, None]).astype(np.float32)
    own_N, other_N = np.empty(len(faces)), np.empty(len(faces))
    nearest_N, impostors = np.empty(len(faces), np.int64), []
    at_once = max(1, _AT_ONCE // len(names))
    for start in range(0, len(faces), at_once):
        on_block()
        block = slice(start, start + at_once)
        similarity_NS = (faces.embeddings[block] @ means_SD.T).astype(np.float64)
        rows, subjects = np.arange(len(similarity_NS)), subject_N[block]
        count_N = count_S[subjects]
        with np.errstate(invalid="ignore", divide="ignore"):
            own_N[block] = (similarity_NS[rows, subjects] * count_N - 1) / (count_N - 1)
        impostors.append(np.median(similarity_NS, axis=1))
        similarity_NS[rows, subjects] = -np.inf
        nearest_N[block], other_N[block] = similarity_NS.argmax(1), similarity_NS.max(1)
    own_N[count_S[subject_N] == 1] = np.nan
    impostor = float(np.median(np.concatenate(impostors)))
    typical = np.lexsort((-np.nan_to_num(own_N), subject_N))
    typical_S = typical[np.searchsorted(subject_N[typical], np.arange(len(names)))]
    gap = max(float(np.nanmedian(own_N)) - impostor, 1e-6)
    return _Labels(names.tolist(), subject_N, own_N, nearest_N, other_N, typical_S, impostor, gap)


def _split(
    faces: FaceSet, places_K: Integers, labels: _Labels, criteria: Criteria
) -> tuple[list[int], list[int], float, float] | None:
    """Return the images of two people among a subject's, the most typical first, the similarity of both groups, and
    that within the less similar one. None where it is one person."""
    if len(places_K) < 4:
        return None
    e_KD = faces.embeddings[places_K].astype(np.float64)
    side_K = _two_groups(e_KD)
    groups = [np.flatnonzero(side_K), np.flatnonzero(~side_K)]
    if min(map(len, groups)) < 2:
        return None
    sums = [e_KD[group].sum(0) for group in groups]
    counts = [len(group) for group in groups]
    within = min(float((s @ s - n) / (n * (n - 1))) for s, n in zip(sums, counts, strict=True))
    between = float(sums[0] @ sums[1]) / (counts[0] * counts[1])
    alike = (between - labels.impostor) / max(within - labels.impostor, 1e-9)
    if within - labels.impostor < _GROUPS_OWN * labels.gap or alike > criteria.groups_alike:
        return None
    first, second = (
        places_K[group[np.argsort(-(e_KD[group] @ own), kind="stable")]].tolist()
        for group, own in zip(groups, sums, strict=True)
    )
    return first, second, between, within


def _two_groups(e_KD: Doubles) -> Booleans:
    """Split faces in two: by the sign of the first principal component, refined by 2-means of cosines."""
    centred_KD = e_KD - e_KD.mean(0)
    side_K: Booleans = np.linalg.eigh(centred_KD @ centred_KD.T)[1][:, -1] > 0
    for _ in range(_SPLIT_ROUNDS):
        if side_K.all() or not side_K.any():
            break
        centres = [e_KD[each].sum(0) for each in (side_K, ~side_K)]
        first, second = (centre / max(float(np.linalg.norm(centre)), 1e-9) for centre in centres)
        refined_K: Booleans = e_KD @ (first - second) > 0
        if (refined_K == side_K).all():
            break
        side_K = refined_K
    return side_K


def _measure_separation(faces: FaceSet) -> _Separation:
    """Measure all pairs of at most about 4096 images, those of evenly spaced subjects."""
    some = _some_subjects(faces)
    if len(set(some.subjects)) < 2 or len(set(some.subjects)) == len(some):
        return _Separation(None, None, None, None)
    scores = count_pairs(some, None)
    if not len(scores.genuine):
        return _Separation(None, None, None, None)
    separated = separation(scores)
    auc = verification_auc(scores)
    if separated is None:
        return _Separation(auc, None, None, None)
    return _Separation(auc, separated.d_prime, separated.genuine, separated.impostor, len(scores.genuine))


def _some_subjects(faces: FaceSet) -> FaceSet:
    if len(faces) <= _MEASURED:
        return faces
    subjects, subject_N = np.unique(np.asarray(faces.subjects), return_inverse=True)
    wanted = max(2, round(len(subjects) * _MEASURED / len(faces)))
    chosen = np.linspace(0, len(subjects) - 1, min(len(subjects), wanted)).round().astype(np.int64)
    return faces.only(np.isin(subject_N, chosen))
