"""1:N identification: searches of probes in a gallery of subjects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from worker.training.metrics.faces import Booleans, Doubles, FaceSet, Floats, Integers, numbered, score_blocks

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
    subjects, subject_P, subject_G = numbered(probes.subjects, gallery.subjects)
    if enrolled is not None:
        enrolled_G = np.array([subject in enrolled for subject in gallery.subjects], np.bool_)
        gallery, subject_G = gallery.only(enrolled_G), subject_G[enrolled_G]
    _, name_P, name_G = numbered(probes.names, gallery.names)
    enrolled_S = np.unique(subject_G)
    column_P = np.searchsorted(enrolled_S, subject_P).clip(max=max(0, len(enrolled_S) - 1))
    in_gallery_P = enrolled_S[column_P] == subject_P if len(enrolled_S) else np.zeros(len(probes), np.bool_)
    found: list[list[Integers | Floats | Booleans]] = []
    for block, scores_RG in score_blocks(probes, gallery):
        scores_RG[name_P[block, None] == name_G] = -np.inf
        for scores_RS in _subject_scores(scores_RG, subject_G, mates):
            column_R, mated_R = column_P[block], in_gallery_P[block]
            rows_R = np.arange(len(column_R))
            own_R = np.where(mated_R, scores_RS[rows_R, column_R], -np.inf).astype(np.float32)
            counts_R = ~mated_R | (own_R > -np.inf)
            scores_RS[rows_R[mated_R], column_R[mated_R]] = -np.inf
            other_R = scores_RS.argmax(1)
            columns = (
                rows_R + block.start,
                subject_P[block],
                mated_R,
                own_R,
                scores_RS[rows_R, other_R],
                enrolled_S[other_R],
                (scores_RS > own_R[:, None]).sum(1),
                (scores_RS == own_R[:, None]).sum(1),
            )
            found.append([column[counts_R] for column in columns])
    return Searches(subjects, len(enrolled_S), *(np.concatenate(parts) for parts in zip(*found, strict=True)))


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


def _subject_scores(scores_RG: Floats, subject_G: Integers, mates: Mates) -> Iterator[Floats]:
    """Yield scores [R, S] for each choice of enrolled images."""
    if mates == "one":
        for choice_S in _gallery_choices(subject_G):
            yield scores_RG[:, choice_S]
    else:
        order_G = np.argsort(subject_G, kind="stable")
        firsts_S = np.unique(subject_G[order_G], return_index=True)[1]
        yield np.maximum.reduceat(scores_RG[:, order_G], firsts_S, axis=1)


def _gallery_choices(subject_G: Integers) -> Integers:
    """Return gallery indices [choices, S]: row k has image k (modulo their number) of each subject."""
    images_of = [np.flatnonzero(subject_G == subject) for subject in np.unique(subject_G)]
    choices = max(map(len, images_of))
    return np.stack([np.resize(images, choices) for images in images_of], axis=1)
