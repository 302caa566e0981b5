"""Scores of all pairs of two sets of faces, compact enough for a billion pairs.

Exact rates need the number of impostors above each genuine score, since the corners of the ROC curve lie there
(Fawcett, "An introduction to ROC analysis", 2006, algorithm 1), but no single impostor score. So impostors are counted
in sorted blocks. Only the highest scores, for thresholds, and a sample with its subjects are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.training.metrics.faces import Booleans, FaceSet, Floats, Integers, numbered, score_blocks
from worker.training.metrics.moments import Moments
from worker.training.metrics.top_scores import TopScores

# Shape suffixes: N genuine pairs, K impostor pairs kept or sampled, T thresholds, R probes, G gallery images.

HIGHEST_FAR = 0.1
"""Largest FAR with an exact threshold: the impostor scores above it are kept."""

SAMPLED_IMPOSTORS = 2**20
"""Size of the random sample of impostor pairs with subjects, for folds and bootstrap."""

THRESHOLDS = np.linspace(-1, 1, 201).astype(np.float32)
"""Default thresholds at which impostors are counted: steps of 0.01."""


@dataclass(frozen=True)
class ImpostorSample:
    """Impostor pairs by descending score, with the subjects' indices on both sides."""

    scores_K: Floats
    probe_subject_K: Integers
    gallery_subject_K: Integers


@dataclass(frozen=True)
class PairScores:
    """Cosine similarities of all pairs, without pairs of an image with itself. Subjects are indices into `subjects`.

    `genuine` [N] ascends; `genuine_subject` [N] are its subjects. `above` and `at_or_above` [N] count the impostors
    that score higher than each genuine pair, and at least as high. `top_impostors` [K] are the highest impostor scores,
    descending: one more than FAR = HIGHEST_FAR accepts. `at_threshold` [T] counts impostors at or above the ascending
    `thresholds`.
    """

    subjects: Sequence[str]
    genuine: Floats
    genuine_subject: Integers
    impostors: int
    above: Integers
    at_or_above: Integers
    top_impostors: Floats
    thresholds: Floats
    at_threshold: Integers
    genuine_moments: Moments
    impostor_moments: Moments
    sample: ImpostorSample

    def impostors_from(self, threshold: float) -> int:
        """Return the number of impostors at or above one of `thresholds`. Raises KeyError for other values."""
        places = np.flatnonzero(self.thresholds == np.float32(threshold))
        if not len(places):
            raise KeyError(threshold)
        return int(self.at_threshold[places[0]])

    @property
    def paired_subjects(self) -> int:
        """Number of subjects with a genuine pair."""
        return len(np.unique(self.genuine_subject))


def score_pairs(probes: FaceSet, gallery: FaceSet | None, thresholds: Floats = THRESHOLDS) -> PairScores:
    """Score every probe against every gallery image of another name, or without a gallery each two probes once.
    Impostors are counted at the ascending `thresholds`.

    10,000 x 100,000 pairs take 1.3 GB if few are genuine; all genuine scores are kept.
    """
    rows = _Rows(probes, gallery)
    genuine, whose = [], []
    for block, scores_RG in score_blocks(probes, rows.gallery):
        genuine_RG = rows.genuine(block)
        genuine.append(scores_RG[genuine_RG])
        whose.append(rows.subject_P[block][np.nonzero(genuine_RG)[0]])
    tally = _Tally(rows.subjects, np.concatenate(genuine), np.concatenate(whose), rows.impostors, thresholds)
    for block, scores_RG in score_blocks(probes, rows.gallery):
        impostor_RG = rows.impostor(block)
        tally.add(scores_RG, impostor_RG, rows.subject_P[block, None], rows.subject_G)
    return tally.finish()


def pairs_of_scores(
    genuine: Floats,
    impostor: Floats,
    *,
    subjects: Sequence[str] = (),
    genuine_subject: Integers | None = None,
    impostor_subjects: tuple[Integers, Integers] | None = None,
) -> PairScores:
    """Build PairScores from plain scores in any order. Without subjects, each genuine pair gets a subject of its own,
    and all impostor pairs share two others."""
    if genuine_subject is None:
        subjects = [str(number) for number in range(len(genuine) + 2)]
        genuine_subject = np.arange(len(genuine))
    if impostor_subjects is None:
        first = np.full(len(impostor), len(subjects) - 1)
        impostor_subjects = first, first - 1
    tally = _Tally(subjects, genuine, genuine_subject, len(impostor), THRESHOLDS)
    first_R1, second_R1 = (numbers[:, None] for numbers in impostor_subjects)
    tally.add(impostor[:, None].copy(), np.ones((len(impostor), 1), np.bool_), first_R1, second_R1)
    return tally.finish()


class _Rows:
    """Masks of the genuine and the impostor pairs of a block."""

    def __init__(self, probes: FaceSet, gallery: FaceSet | None) -> None:
        self.within = gallery is None
        self.gallery = probes if gallery is None else gallery
        self.subjects, self.subject_P, self.subject_G = numbered(probes.subjects, self.gallery.subjects)
        _, self._name_P, self._name_G = numbered(probes.names, self.gallery.names)
        number = len(self.subjects)
        same = np.bincount(self.subject_P, minlength=number) @ np.bincount(self.subject_G, minlength=number)
        impostors = len(self.subject_P) * len(self.subject_G) - int(same)
        self.impostors = impostors // 2 if self.within else impostors

    def genuine(self, block: slice) -> Booleans:
        other_RG: Booleans = self._name_P[block, None] != self._name_G
        if self.within:
            other_RG &= self._later(block)
        other_RG &= self.subject_P[block, None] == self.subject_G
        return other_RG

    def impostor(self, block: slice) -> Booleans:
        different_RG: Booleans = self.subject_P[block, None] != self.subject_G
        if self.within:
            different_RG &= self._later(block)
        return different_RG

    def _later(self, block: slice) -> Booleans:
        later: Booleans = np.arange(block.start, block.stop)[:, None] < np.arange(len(self.subject_G))
        return later


class _Tally:
    """Counts impostors block by block."""

    def __init__(
        self, subjects: Sequence[str], genuine: Floats, whose: Integers, impostors: int, thresholds: Floats
    ) -> None:
        order = np.argsort(genuine, kind="stable")
        self._subjects, self._genuine, self._whose = subjects, genuine[order], whose[order]
        self._impostors = impostors
        self._above = np.zeros(len(genuine), np.int64)
        self._at_or_above = np.zeros(len(genuine), np.int64)
        self._thresholds, self._at_threshold = thresholds, np.zeros(len(thresholds), np.int64)
        self._top = TopScores(int(HIGHEST_FAR * impostors + 1e-9) + 1)
        self._moments = Moments.none()
        self._random = np.random.default_rng(0)
        self._sampled: list[tuple[Floats, Integers, Integers]] = []

    def add(self, scores_RG: Floats, impostor_RG: Booleans, first_RG: Integers, second_RG: Integers) -> None:
        """Count a block's impostors. The subjects broadcast to the scores. Overwrites `scores_RG`."""
        self._add_sample(scores_RG, impostor_RG, first_RG, second_RG)
        scores_RG[~impostor_RG] = np.inf
        flat = scores_RG.reshape(-1)
        flat.sort()
        ascending = flat[: int(np.count_nonzero(impostor_RG))]
        self._above += len(ascending) - np.searchsorted(ascending, self._genuine, side="right")
        self._at_or_above += len(ascending) - np.searchsorted(ascending, self._genuine, side="left")
        self._at_threshold += len(ascending) - np.searchsorted(ascending, self._thresholds, side="left")
        self._top.offer(ascending)
        self._moments = self._moments.merged(Moments.of(ascending))

    def finish(self) -> PairScores:
        scores, first, second = (np.concatenate(parts) for parts in zip(*self._sampled, strict=True))
        order = np.argsort(-scores, kind="stable")
        return PairScores(
            subjects=self._subjects,
            genuine=self._genuine,
            genuine_subject=self._whose,
            impostors=self._impostors,
            above=self._above,
            at_or_above=self._at_or_above,
            top_impostors=self._top.descending(),
            thresholds=self._thresholds,
            at_threshold=self._at_threshold,
            genuine_moments=Moments.of(self._genuine),
            impostor_moments=self._moments,
            sample=ImpostorSample(scores[order], first[order], second[order]),
        )

    def _add_sample(self, scores_RG: Floats, impostor_RG: Booleans, first_RG: Integers, second_RG: Integers) -> None:
        if self._impostors <= SAMPLED_IMPOSTORS:
            chosen = np.nonzero(impostor_RG)
        else:
            expected = scores_RG.size * SAMPLED_IMPOSTORS / self._impostors
            drawn = self._random.integers(scores_RG.size, size=self._random.poisson(expected))
            chosen = np.divmod(drawn[impostor_RG.reshape(-1)[drawn]], scores_RG.shape[1])
        first_K, second_K = (np.broadcast_to(subject, scores_RG.shape)[chosen] for subject in (first_RG, second_RG))
        self._sampled.append((scores_RG[chosen], first_K, second_K))
