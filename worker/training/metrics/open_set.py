"""Open-set 1:N identification: some probes have no mate in the gallery."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.training.metrics.faces import Booleans, FaceSet, Integers
from worker.training.metrics.identification import Searches, search
from worker.training.metrics.verification import FEWEST_ERRORS, most_errors, pairs_needed


@dataclass(frozen=True)
class OpenSet:
    """DIR (detection and identification rate) in [0, 1] and its threshold, a cosine.

    DIR is the share of mated searches whose own subject ranks first at or above the threshold. The threshold is the
    smallest that keeps FPIR (false positive identification rate: the share of non-mated searches that return a subject)
    at its target.
    """

    detected: float
    threshold: float


def strangers_suffice(probes: FaceSet, gallery: FaceSet, fpir: float) -> bool:
    """Return whether enough probes show people outside the gallery to claim a rate at `fpir`."""
    people = set(gallery.subjects)
    return sum(subject not in people for subject in probes.subjects) >= pairs_needed(fpir)


def open_set_searches(probes: FaceSet, gallery: FaceSet, *, in_halves: bool) -> tuple[Searches, ...]:
    """Return mated and non-mated searches, with subjects enrolled by all their images.

    `in_halves` enrols one half of the gallery's subjects, then the other, like the two galleries of IJB-C (Maze et al.,
    2018): each probe of a gallery subject is searched once mated and once non-mated, any other probe twice non-mated.
    Otherwise all subjects are enrolled, and only probes of other people are non-mated.
    """
    if not in_halves:
        return (search(probes, gallery, "all"),)
    people = sorted(set(gallery.subjects))
    shuffled = np.random.default_rng(0).permutation(len(people))
    halves = [frozenset(people[index] for index in shuffled[first::2]) for first in (0, 1)]
    return tuple(search(probes, gallery, "all", half) for half in halves if half)


def non_mated(searches: tuple[Searches, ...]) -> int:
    return sum(int((~each.mated_Q).sum()) for each in searches)


@dataclass(frozen=True)
class Ranked:
    """Searches of one or two galleries under a common threshold.

    Mated searches have a `subject`, their `credit` at rank 1 in [0, 1], and `rivals`, the number of non-mated searches
    that score at least as high as the own subject. Non-mated searches are sorted by descending best score. `galleries`
    is 2 if halves are enrolled in turn, else 1.
    """

    galleries: int
    subject: Integers
    credit: np.ndarray[tuple[int], np.dtype[np.float64]]
    rivals: Integers
    non_mated_subject: Integers
    non_mated_scores: np.ndarray[tuple[int], np.dtype[np.float32]]

    @property
    def mated_subjects(self) -> int:
        """Number of subjects with a mated search."""
        return len(np.unique(self.subject))


def rank_together(searches: tuple[Searches, ...]) -> Ranked:
    mated: list[Booleans] = [each.mated_Q for each in searches]
    own = np.concatenate([each.own_Q[chosen] for each, chosen in zip(searches, mated, strict=True)])
    best = np.concatenate([each.best_other_Q[~chosen] for each, chosen in zip(searches, mated, strict=True)])
    order = np.argsort(-best, kind="stable")
    people = [each.subject_Q for each in searches]
    return Ranked(
        galleries=len(searches),
        subject=np.concatenate([who[chosen] for who, chosen in zip(people, mated, strict=True)]),
        credit=np.concatenate([each.credit(1)[chosen] for each, chosen in zip(searches, mated, strict=True)]),
        rivals=np.searchsorted(-best[order], -own, side="right"),
        non_mated_subject=np.concatenate([who[~chosen] for who, chosen in zip(people, mated, strict=True)])[order],
        non_mated_scores=best[order],
    )


def open_set(probes: FaceSet, gallery: FaceSet, fpirs: Sequence[float]) -> dict[float, Ranked]:
    """Return the searches for each FPIR: in halves unless enough probes show people outside the gallery."""
    in_halves = {fpir: not strangers_suffice(probes, gallery, fpir) for fpir in fpirs}
    ranked = {
        halves: rank_together(open_set_searches(probes, gallery, in_halves=halves)) for halves in {*in_halves.values()}
    }
    return {fpir: ranked[halves] for fpir, halves in in_halves.items()}


def dir_at_fpir(ranked: Ranked, fpir: float, fewest_errors: int = FEWEST_ERRORS) -> OpenSet | None:
    """Return DIR at FPIR <= `fpir` (Grother and Ngan, NIST IR 8009, 2014; Phillips, Grother and Micheals, "Evaluation
    methods in face recognition", 2011).

    None without a mated search, or with fewer than `fewest_errors` / fpir non-mated ones.
    """
    strangers = len(ranked.non_mated_scores)
    if not len(ranked.subject) or strangers < pairs_needed(fpir, fewest_errors):
        return None
    allowed = most_errors(fpir, strangers)
    detected = float((ranked.credit * (ranked.rivals <= allowed)).mean())
    if allowed >= strangers:
        return OpenSet(detected, -1.0)
    return OpenSet(detected, float(np.nextafter(ranked.non_mated_scores[allowed], np.float32(np.inf))))
