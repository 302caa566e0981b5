"""Scores of all pairs of two sets of faces, compact enough for a billion pairs.

Exact rates need the number of impostors above each genuine score, since the corners of the ROC curve lie there
(Fawcett, "An introduction to ROC analysis", 2006, algorithm 1), but no single impostor score. So impostors are counted
in sorted blocks, on the device of the embeddings. Only the highest scores, for thresholds, and a sample with its
subjects are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from worker.training.metrics.faces import FaceSet, Floats, Integers, in_blocks_that_fit, score_blocks, sort_ascending
from worker.training.metrics.impostor_sample import SAMPLED_IMPOSTORS, ImpostorSample, Sampler
from worker.training.metrics.moments import Moments
from worker.training.metrics.pair_masks import PairMasks
from worker.training.metrics.top_scores import TopScores

# Shape suffixes: N genuine pairs, K impostor pairs kept or sampled, T thresholds, R probes, G gallery images.

HIGHEST_FAR = 0.1
"""Largest FAR with an exact threshold: the impostor scores above it are kept."""

THRESHOLDS = np.linspace(-1, 1, 201).astype(np.float32)
"""Default thresholds at which impostors are counted: steps of 0.01."""

_SORTED_AT_ONCE = 2**22


@dataclass(frozen=True, kw_only=True)
class PairCounts:
    """Cosine similarities of all pairs, without pairs of an image with itself. Subjects are indices.

    `genuine` [N] ascends; `genuine_subject` [N] are its subjects. `above` and `at_or_above` [N] count the impostors
    that score higher than each genuine pair, and at least as high.
    """

    genuine: Floats
    genuine_subject: Integers
    impostors: int
    above: Integers
    at_or_above: Integers
    genuine_moments: Moments
    impostor_moments: Moments

    @property
    def paired_subjects(self) -> int:
        """Number of subjects with a genuine pair."""
        return len(np.unique(self.genuine_subject))


@dataclass(frozen=True, kw_only=True)
class PairScores(PairCounts):
    """The counts with what thresholds, folds and the bootstrap need. Subjects are indices into `subjects`.

    `top_impostors` [K] are the highest impostor scores, descending: one more than FAR = HIGHEST_FAR accepts.
    `at_threshold` [T] counts impostors at or above the ascending `thresholds`.
    """

    subjects: Sequence[str]
    top_impostors: Floats
    thresholds: Floats
    at_threshold: Integers
    sample: ImpostorSample

    def impostors_from(self, threshold: float) -> int:
        """Return the number of impostors at or above a threshold: one of `thresholds`, one above the lowest of
        `top_impostors`, or any where the sample has all impostors. Raises KeyError for other values."""
        limit = np.float32(threshold)
        places = np.flatnonzero(self.thresholds == limit)
        if len(places):
            return int(self.at_threshold[places[0]])
        if len(self.top_impostors) and limit > self.top_impostors[-1]:
            return int((self.top_impostors >= limit).sum())
        if self.impostors <= SAMPLED_IMPOSTORS:
            return int((self.sample.scores_K >= limit).sum())
        raise KeyError(threshold)


def count_pairs(probes: FaceSet, gallery: FaceSet | None) -> PairCounts:
    """Compare every probe with every gallery image of another name, or without a gallery each two probes once.

    A part of `score_pairs`, in a third of its time.
    """
    return in_blocks_that_fit(partial(_count_pairs, gallery), probes)


def score_pairs(probes: FaceSet, gallery: FaceSet | None, thresholds: Floats = THRESHOLDS) -> PairScores:
    """Score every probe against every gallery image of another name, or without a gallery each two probes once.
    Impostors are counted at the ascending `thresholds`.

    10,000 x 100,000 pairs take 1.3 GB if few are genuine; all genuine scores are kept.
    """
    return in_blocks_that_fit(partial(_score_pairs, gallery, thresholds), probes)


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
    tally = _Tally(subjects, genuine, genuine_subject, len(impostor), THRESHOLDS, torch.device("cpu"))
    scores_R1 = torch.from_numpy(impostor.copy())[:, None]
    first_R1, second_R1 = (torch.from_numpy(numbers)[:, None] for numbers in impostor_subjects)
    tally.add(scores_R1, torch.ones_like(scores_R1, dtype=torch.bool), first_R1, second_R1)
    return tally.finish()


_Blocks = Iterator[tuple[slice, Tensor]]


def _count_pairs(gallery: FaceSet | None, probes: FaceSet, scores_at_once: int) -> PairCounts:
    masks = PairMasks(probes, gallery)
    blocks, genuine, whose = _with_genuine(probes, masks, scores_at_once)
    counter = _Counter(genuine, whose, masks.impostors, probes.tensor.device)
    for block, scores_RG in blocks:
        for ascending in _ascending(scores_RG, masks.impostor(block)):
            counter.add(ascending)
    return counter.finish()


def _score_pairs(gallery: FaceSet | None, thresholds: Floats, probes: FaceSet, scores_at_once: int) -> PairScores:
    masks = PairMasks(probes, gallery)
    blocks, genuine, whose = _with_genuine(probes, masks, scores_at_once)
    tally = _Tally(masks.subjects, genuine, whose, masks.impostors, thresholds, probes.tensor.device)
    for block, scores_RG in blocks:
        tally.add(scores_RG, masks.impostor(block), masks.subject_P[block, None], masks.subject_G)
    return tally.finish()


def _with_genuine(probes: FaceSet, masks: PairMasks, scores_at_once: int) -> tuple[_Blocks, Floats, Integers]:
    """Return all blocks of scores, and the scores and subjects of the genuine pairs in them."""
    genuine, whose, kept = [], [], []
    for block, scores_RG in score_blocks(probes, masks.gallery, scores_at_once):
        genuine_RG = masks.genuine(block)
        genuine.append(scores_RG[genuine_RG].cpu().numpy())
        whose.append(masks.subject_P[block, None].expand_as(genuine_RG)[genuine_RG].cpu().numpy())
        kept = [(block, scores_RG)]
    # Several blocks are computed again, for all of them may not fit the memory.
    blocks = iter(kept) if len(genuine) == 1 else score_blocks(probes, masks.gallery, scores_at_once)
    return blocks, np.concatenate(genuine), np.concatenate(whose)


def _ascending(scores_RG: Tensor, impostor_RG: Tensor) -> Iterator[Tensor]:
    """Yield the impostor scores in sorted parts. Overwrites `scores_RG`."""
    scores_RG.masked_fill_(~impostor_RG, torch.inf)
    parts = (torch.split(each.view(-1), _SORTED_AT_ONCE) for each in (scores_RG, impostor_RG))
    for scores, is_impostor in zip(*parts, strict=True):
        yield sort_ascending(scores)[: int(is_impostor.count_nonzero())]


class _Counter:
    """Counts impostors at each genuine score, in sorted parts on a device."""

    def __init__(self, genuine: Floats, whose: Integers, impostors: int, device: torch.device) -> None:
        order = np.argsort(genuine, kind="stable")
        self._genuine, self._whose, self._impostors = genuine[order], whose[order], impostors
        self._genuine_N = torch.from_numpy(self._genuine).to(device)
        self._above_N, self._at_or_above_N = torch.zeros(2, len(genuine), dtype=torch.int64, device=device)
        self._moments = Moments.none()

    def add(self, ascending: Tensor) -> None:
        self._above_N += len(ascending) - torch.searchsorted(ascending, self._genuine_N, right=True)
        self._at_or_above_N += len(ascending) - torch.searchsorted(ascending, self._genuine_N)
        self._moments = self._moments.merged(Moments.of(ascending))

    def finish(self) -> PairCounts:
        return PairCounts(
            genuine=self._genuine,
            genuine_subject=self._whose,
            impostors=self._impostors,
            above=self._above_N.cpu().numpy(),
            at_or_above=self._at_or_above_N.cpu().numpy(),
            genuine_moments=Moments.of(self._genuine_N),
            impostor_moments=self._moments,
        )


class _Tally:
    """Builds PairScores block by block."""

    def __init__(
        self,
        subjects: Sequence[str],
        genuine: Floats,
        whose: Integers,
        impostors: int,
        thresholds: Floats,
        device: torch.device,
    ) -> None:
        self._subjects, self._thresholds = subjects, thresholds
        self._counter = _Counter(genuine, whose, impostors, device)
        self._thresholds_T = torch.from_numpy(thresholds).to(device)
        self._at_threshold_T = torch.zeros(len(thresholds), dtype=torch.int64, device=device)
        self._top = TopScores(int(HIGHEST_FAR * impostors + 1e-9) + 1, device)
        self._sampler = Sampler(impostors)

    def add(self, scores_RG: Tensor, impostor_RG: Tensor, first_RG: Tensor, second_RG: Tensor) -> None:
        """Count a block's impostors. The subjects broadcast to the scores. Overwrites `scores_RG`."""
        self._sampler.add(scores_RG, impostor_RG, first_RG, second_RG)
        for ascending in _ascending(scores_RG, impostor_RG):
            self._counter.add(ascending)
            self._at_threshold_T += len(ascending) - torch.searchsorted(ascending, self._thresholds_T)
            self._top.offer(ascending)

    def finish(self) -> PairScores:
        return PairScores(
            **vars(self._counter.finish()),
            subjects=self._subjects,
            top_impostors=self._top.descending(),
            thresholds=self._thresholds,
            at_threshold=self._at_threshold_T.cpu().numpy(),
            sample=self._sampler.finish(),
        )
