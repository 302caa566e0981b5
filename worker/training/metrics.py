"""Face recognition in numbers: pure functions on embeddings and scores.

The field's terms: a genuine pair shows one subject, an impostor pair two; FAR is the share of impostor pairs accepted,
TAR the share of genuine pairs accepted; rank-1 is the share of probes whose best gallery match is their own subject.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Shape suffixes: P probes, R a block of them, G gallery images, D dimensions, S gallery subjects.

_PROBES_AT_ONCE = 512  # 512 x 10,000 scores and their masks are about 40 MB


@dataclass(frozen=True)
class FaceSet:
    """L2-normalised embeddings [N, D], each with its subject and file name. Equal names mean the same image."""

    embeddings: Floats
    subjects: Sequence[str]
    names: Sequence[str]


@dataclass(frozen=True)
class PairScores:
    """Cosine similarities of all pairs but each image with itself.

    `impostor` is sorted ascending. `genuine` is in the order of the probes, and `genuine_probe` [genuine pairs] says
    which probe each one belongs to.
    """

    genuine: Floats
    impostor: Floats
    genuine_probe: Integers


def score_pairs(probes: FaceSet, gallery: FaceSet) -> PairScores:
    """Every probe against every gallery image but the one of its own name. 10,000 x 10,000 pairs take about 1 GB."""
    subject_P, subject_G = _numbered(probes.subjects, gallery.subjects)
    name_P, name_G = _numbered(probes.names, gallery.names)
    genuine, impostor, genuine_probe = [], [], []
    for start, scores_RG in _score_blocks(probes, gallery):
        block = slice(start, start + len(scores_RG))
        same_subject_RG = subject_P[block, None] == subject_G
        genuine_RG = same_subject_RG & (name_P[block, None] != name_G)
        genuine.append(scores_RG[genuine_RG])
        impostor.append(scores_RG[~same_subject_RG])
        genuine_probe.append(start + np.nonzero(genuine_RG)[0])
    impostor_scores = np.concatenate(impostor)
    impostor_scores.sort()
    return PairScores(np.concatenate(genuine), impostor_scores, np.concatenate(genuine_probe))


def verification_auc(scores: PairScores) -> float | None:
    """Area under the ROC curve in 0..1: the chance that a genuine pair scores above an impostor pair, ties half.

    None without a genuine or an impostor pair.
    """
    if not len(scores.genuine) or not len(scores.impostor):
        return None
    below = np.searchsorted(scores.impostor, scores.genuine, side="left").mean()
    not_above = np.searchsorted(scores.impostor, scores.genuine, side="right").mean()
    return float((below + not_above) / 2 / len(scores.impostor))


@dataclass(frozen=True)
class Separation:
    """How far apart genuine and impostor pairs are: the means of their similarities (cosines, -1..1), and d', the
    difference of the means in standard deviations (the root of the mean of both variances); below 0 where impostors
    are the more alike. `d_prime` is None where the scores do not vary but the means differ."""

    genuine: float
    impostor: float
    d_prime: float | None

    @property
    def gap(self) -> float:
        """In -2..2."""
        return self.genuine - self.impostor


def separation(scores: PairScores) -> Separation | None:
    """None without a genuine or an impostor pair."""
    if not len(scores.genuine) or not len(scores.impostor):
        return None
    genuine, impostor = (float(scores_.mean(dtype=np.float64)) for scores_ in (scores.genuine, scores.impostor))
    variances = [scores_.var(dtype=np.float64) for scores_ in (scores.genuine, scores.impostor)]
    deviation = float(np.sqrt(np.mean(variances)))
    if deviation == 0:
        return Separation(genuine, impostor, 0.0 if genuine == impostor else None)
    return Separation(genuine, impostor, (genuine - impostor) / deviation)


def accepted_at_far(scores: PairScores, far: float) -> npt.NDArray[np.bool_] | None:
    """Which genuine pairs are accepted at the smallest threshold that keeps FAR at or under `far`, never over it.

    None without a genuine pair, or with fewer than 1 / far impostor pairs, which cannot measure such a FAR.
    """
    allowed = int(far * len(scores.impostor) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    if allowed < 1 or not len(scores.genuine):
        return None
    accepted: npt.NDArray[np.bool_] = scores.genuine > scores.impostor[-allowed - 1]
    return accepted


def tar_at_far(scores: PairScores, far: float) -> float | None:
    """The share of genuine pairs accepted at a FAR of at most `far`, in 0..1; None as for `accepted_at_far`."""
    accepted = accepted_at_far(scores, far)
    return None if accepted is None else float(accepted.mean())


def rank1(probes: FaceSet, gallery: FaceSet) -> float | None:
    """Rank-1 in 0..1 with one gallery image per subject, averaged over the choices of it.

    Choice k takes image k of each subject, from the first again where a subject has fewer. A probe does not count where
    the chosen image of its subject is the probe's own (same name). n subjects tied for the first place count 1/n.
    None where the gallery has fewer than two subjects or no probe counts.
    """
    subject_P, subject_G = _numbered(probes.subjects, gallery.subjects)
    name_P, name_G = _numbered(probes.names, gallery.names)
    in_gallery, column_P = _columns(subject_P, subject_G)
    choices = _gallery_choices(subject_G)
    if choices.shape[1] < 2:
        return None
    credit, counted = 0.0, 0
    for start, scores_RG in _score_blocks(probes, gallery):
        block = slice(start, start + len(scores_RG))
        column_R = column_P[block]
        for choice_S in choices:
            scores_RS = scores_RG[:, choice_S]
            best_R = scores_RS.max(1)
            own_R = np.take_along_axis(scores_RS, column_R[:, None], 1)[:, 0]
            tied_R = (scores_RS == best_R[:, None]).sum(1)
            counts_R = in_gallery[block] & (name_G[choice_S][column_R] != name_P[block])
            credit += float(((own_R == best_R) / tied_R)[counts_R].sum())
            counted += int(counts_R.sum())
    return credit / counted if counted else None


def _score_blocks(probes: FaceSet, gallery: FaceSet) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(probes.embeddings), _PROBES_AT_ONCE):
        yield start, probes.embeddings[start : start + _PROBES_AT_ONCE] @ gallery.embeddings.T


def _numbered(first: Sequence[str], second: Sequence[str]) -> tuple[Integers, Integers]:
    """The same number for the same text, in both."""
    numbers = np.unique([*first, *second], return_inverse=True)[1].astype(np.int64)
    return numbers[: len(first)], numbers[len(first) :]


def _columns(subject_P: Integers, subject_G: Integers) -> tuple[npt.NDArray[np.bool_], Integers]:
    """Whether a probe's subject is in the gallery, and its place among the gallery's subjects (0 where it is not)."""
    subjects = np.unique(subject_G)
    column_P = np.searchsorted(subjects, subject_P).clip(max=len(subjects) - 1)
    in_gallery = subjects[column_P] == subject_P
    return in_gallery, np.where(in_gallery, column_P, 0)


def _gallery_choices(subject_G: Integers) -> Integers:
    """[choices, S] gallery images: row k has image k (modulo their number) of each subject, in the gallery's order."""
    images_of = [np.flatnonzero(subject_G == subject) for subject in np.unique(subject_G)]
    choices = max(map(len, images_of))
    return np.stack([np.resize(images, choices) for images in images_of], axis=1)
