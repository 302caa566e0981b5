"""1:N identification: searches of probes in a gallery of subjects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from worker.training.metrics.faces import (
    Booleans,
    Doubles,
    FaceSet,
    Floats,
    Integers,
    in_blocks_that_fit,
    numbered,
    score_blocks,
)

# Shape suffixes: P probes, R probes of a block, G gallery images, S gallery subjects, Q searches.

Mates = Literal["one", "all"]
"""How a subject is enrolled. `one`: by one image; every probe is searched once per choice, and choice k takes image k
(modulo their number) of each subject. `all`: by all its images; the best score counts."""


@dataclass(frozen=True)
class Searches:
    """One or more searches per probe. A probe is never compared with the image of the same name.

    `mated_Q`: the probe's subject is in the gallery. `own_Q`: its score, a cosine, or -inf if not mated.
    `other_Q`: the best other subject, `best_other_Q` its score. `better_Q` and `tied_Q`: how many other subjects score
    higher than the own subject, or equally. Subjects are indices into `subjects`.
    """

    subjects: Sequence[str]
    gallery_subjects: int
    probe_Q: Integers
    subject_Q: Integers
    mated_Q: Booleans
    own_Q: Floats
    best_other_Q: Floats
    other_Q: Integers
    better_Q: Integers
    tied_Q: Integers

    @property
    def mated_subjects(self) -> int:
        """Number of subjects with a mated search."""
        return len(np.unique(self.subject_Q[self.mated_Q]))

    def credit(self, rank: int) -> Doubles:
        """Return the probability [Q] that the own subject is among the first `rank`, with ties broken at random; 0 if
        not mated."""
        credit_Q: Doubles = np.clip((rank - self.better_Q) / (self.tied_Q + 1), 0, 1) * self.mated_Q
        return credit_Q


def search(probes: FaceSet, gallery: FaceSet, mates: Mates, enrolled: frozenset[str] | None = None) -> Searches:
    """Search every probe in the gallery, or among its subjects `enrolled`. A probe is skipped if its subject is
    enrolled by the probe's own image alone."""
    return in_blocks_that_fit(partial(_search, gallery, mates, enrolled), probes)


def rank_rate(searches: Searches, rank: int) -> float | None:
    """Return the rank-k identification rate in [0, 1]: the share of mated searches whose subject is among the first
    `rank`.

    The CMC curve (cumulative match characteristic, ISO/IEC 19795-1) plots it over ranks. None without a mated search or
    a second gallery subject.
    """
    mated = int(searches.mated_Q.sum())
    return float(searches.credit(rank).sum() / mated) if mated and searches.gallery_subjects >= 2 else None


def rank1(probes: FaceSet, gallery: FaceSet) -> float | None:
    """Return rank-1 with one gallery image per subject, averaged over its choices. None as for `rank_rate`."""
    if len(set(gallery.subjects)) < 2:
        return None
    return rank_rate(search(probes, gallery, "one"), 1)


def _search(
    gallery: FaceSet, mates: Mates, enrolled: frozenset[str] | None, probes: FaceSet, scores_at_once: int
) -> Searches:
    subjects, subject_P, subject_G = numbered(probes.subjects, gallery.subjects)
    if enrolled is not None:
        enrolled_G = np.array([subject in enrolled for subject in gallery.subjects], np.bool_)
        gallery, subject_G = gallery.only(enrolled_G), subject_G[enrolled_G]
    _, name_P, name_G = numbered(probes.names, gallery.names)
    enrolled_S = np.unique(subject_G)
    column_P = np.searchsorted(enrolled_S, subject_P).clip(max=max(0, len(enrolled_S) - 1))
    in_gallery_P = enrolled_S[column_P] == subject_P if len(enrolled_S) else np.zeros(len(probes), np.bool_)
    name_P1, name_1G, column_P1, mated_P, choices = (
        torch.from_numpy(each).to(probes.tensor.device)
        for each in (name_P[:, None], name_G[None], column_P[:, None], in_gallery_P, _gallery_choices(subject_G))
    )
    found: list[list[Integers | Floats | Booleans]] = []
    for block, scores_RG in score_blocks(probes, gallery, scores_at_once):
        scores_RG.masked_fill_(name_P1[block] == name_1G, -torch.inf)
        for scores_RS in _subject_scores(scores_RG, choices, mates):
            column_R1, mated_R = column_P1[block], mated_P[block]
            scores_R = scores_RS.gather(1, column_R1)[:, 0]
            own_R = scores_R.masked_fill(~mated_R, -torch.inf)
            counts_R = ~mated_R | (own_R > -torch.inf)
            scores_RS.scatter_(1, column_R1, scores_R.masked_fill(mated_R, -torch.inf)[:, None])
            best_R, other_R = scores_RS.max(1)
            better_R, tied_R = (scores_RS > own_R[:, None]).sum(1), (scores_RS == own_R[:, None]).sum(1)
            counts = counts_R.cpu().numpy()
            columns = (each.cpu().numpy()[counts] for each in (mated_R, own_R, best_R, other_R, better_R, tied_R))
            mated, own, best, other, better, tied = columns
            rows = np.flatnonzero(counts) + block.start
            found.append([rows, subject_P[rows], mated, own, best, enrolled_S[other], better, tied])
    return Searches(subjects, len(enrolled_S), *(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _subject_scores(scores_RG: Tensor, choices: Tensor, mates: Mates) -> Iterator[Tensor]:
    """Yield scores [R, S] for each choice of enrolled images."""
    by_choice = (scores_RG[:, choice_S] for choice_S in choices)
    if mates == "one":
        yield from by_choice
    else:
        yield reduce(torch.maximum, by_choice)


def _gallery_choices(subject_G: Integers) -> Integers:
    """Return gallery indices [choices, S]: row k has image k (modulo their number) of each subject."""
    firsts = np.unique(np.sort(subject_G), return_index=True)[1]
    images_of = np.split(np.argsort(subject_G, kind="stable"), firsts[1:])
    choices = max(map(len, images_of))
    return np.stack([np.resize(images, choices) for images in images_of], axis=1)
