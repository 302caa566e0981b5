"""Finds people under two names: subjects whose images are as similar as those of one person.

It compares means over all pairs of images, since the best pair of two people often scores higher than one person's
worst. docs/decisions/0014 has the criteria and how they were calibrated.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.training.metrics import FaceSet

Doubles = npt.NDArray[np.float64]

# Shape suffixes: N faces, S subjects, D = 512 dimensions, R rows of a block of subjects, P pairs.

ALIKE = 0.9
"""Limit of a pair's mean similarity on a scale from that of different people (0) to that of one person's images, of the
less similar subject (1)."""

LEAST_D_PRIME = 1.5
"""Least separation of all pairs of faces. A backbone with less does not identify people."""

_PRIOR_PAIRS = 4.0
"""A subject's own similarity counts as if so many more of its pairs had the mean similarity of everybody's: the only
pair of two images says little about a person."""

_NOTICED = 0.5
_CERTAIN, _CERTAIN_PAST_CHANCE = 6.5, 2.0
_MANY_SUBJECTS = 8
_CLEAR_D_PRIME = 4.5

_PAIRS_AT_ONCE = 2**21
_COMPARED = 1024
_DEVIATION = 1.4826  # the standard deviation of normal numbers, in median absolute deviations
_LEAST_BETWEEN = 0.36


@dataclass(frozen=True)
class SamePerson:
    """Two subjects that look like one person. `similarity` is the mean cosine of their pairs; `alike` is on the scale
    of ALIKE; `outstanding` is how far the similarity is above that of different people, in standard deviations.

    `certain`: different people were never this similar in any calibration, whatever the size of the faces.
    """

    first: str
    second: str
    similarity: float
    alike: float
    outstanding: float
    certain: bool


@dataclass(frozen=True)
class Impostors:
    """How similar different people are: the `median` of the mean similarity of two subjects, and the standard
    `deviation` of the similarity of two images. `between` is the part of the variance that stays however many images
    two subjects have; the rest shrinks with their number. Both are robust if up to half of the pairs are of one person.
    """

    median: float
    deviation: float
    between: float

    def deviations(self, first_count_R: Doubles, second_count_S: Doubles) -> Doubles:
        """Return the standard deviation [R, S] of the mean similarity of subjects with so many images."""
        shrinking_RS = (1 / first_count_R[:, None] + 1 / second_count_S) / 2
        deviations_RS: Doubles = self.deviation * np.sqrt(self.between + (1 - self.between) * shrinking_RS)
        return deviations_RS


@dataclass(frozen=True)
class People:
    """Statistics of the subjects: number of images, mean embedding, and mean similarity of their own pairs, pulled
    towards that of everybody's where a subject has few."""

    names: list[str]
    count_S: Doubles
    means_SD: Doubles
    own_S: Doubles
    impostor_mean: float
    impostors: Impostors
    d_prime: float


def gather_people(faces: FaceSet) -> People | None:
    """Gather the statistics. None without two subjects, or without a subject with two images."""
    names, subject_N = np.unique(np.asarray(faces.subjects), return_inverse=True)
    count_S = np.bincount(subject_N, minlength=len(names)).astype(np.float64)
    by_subject = np.argsort(subject_N, kind="stable")
    starts_S = np.searchsorted(subject_N[by_subject], np.arange(len(names)))
    sums_SD = np.add.reduceat(faces.embeddings[by_subject].astype(np.float64), starts_S)
    pairs_S = count_S * (count_S - 1)
    within_S = (sums_SD**2).sum(1) - count_S
    pairs, impostors = float(pairs_S.sum()), float(count_S.sum() ** 2 - (count_S**2).sum())
    if not pairs or not impostors:
        return None
    total_D = sums_SD.sum(0)
    genuine_mean = float(within_S.sum()) / pairs
    impostor_mean = (float(total_D @ total_D) - float((sums_SD**2).sum())) / impostors
    # The second moments of all pairs follow from the Gram matrix of the dimensions, the first moments from the sums.
    spread = _spread(faces, subject_N, len(names), pairs, impostors, genuine_mean, impostor_mean)
    means_SD = sums_SD / count_S[:, None]
    return People(
        names=names.tolist(),
        count_S=count_S,
        means_SD=means_SD,
        own_S=(within_S / 2 + _PRIOR_PAIRS * genuine_mean) / (pairs_S / 2 + _PRIOR_PAIRS),
        impostor_mean=impostor_mean,
        impostors=_measure_impostors(faces, subject_N, means_SD, count_S),
        d_prime=(genuine_mean - impostor_mean) / max(spread, 1e-9),
    )


def find_same_people(people: People, on_block: Callable[[], None] = lambda: None) -> Iterator[SamePerson]:
    """Yield pairs of subjects at or above ALIKE that stand out among all pairs, the most similar of each block first.
    `on_block` is called before each block and may raise."""
    least, certain = least_outstanding(len(people.names)), certain_outstanding(len(people.names), people.d_prime)
    at_once = max(1, _PAIRS_AT_ONCE // len(people.names))
    for start in range(0, len(people.names), at_once):
        on_block()
        block = slice(start, start + at_once)
        similarity_RS = people.means_SD[block] @ people.means_SD.T
        own_RS = np.minimum(people.own_S[block, None], people.own_S)
        alike_RS = (similarity_RS - people.impostor_mean) / np.maximum(own_RS - people.impostor_mean, 1e-9)
        deviation_RS = people.impostors.deviations(people.count_S[block], people.count_S)
        outstanding_RS = (similarity_RS - people.impostors.median) / np.maximum(deviation_RS, 1e-9)
        later_RS = np.arange(start, start + len(similarity_RS))[:, None] < np.arange(len(people.names))
        stands_out_RS = (own_RS > people.impostor_mean) & (outstanding_RS >= least)
        found = np.argwhere(later_RS & (alike_RS >= ALIKE) & stands_out_RS)
        for row, column in sorted(found.tolist(), key=lambda at: -float(alike_RS[at[0], at[1]])):
            yield SamePerson(
                people.names[start + row],
                people.names[column],
                float(similarity_RS[row, column]),
                float(alike_RS[row, column]),
                float(outstanding_RS[row, column]),
                bool(outstanding_RS[row, column] >= certain),
            )


def least_outstanding(subjects: int) -> float:
    """Return the standard deviations from which a pair of so many subjects is noticed: half of one more than the
    maximum of as many normal numbers reaches.

    ALIKE alone would accuse subjects whose own images show several people.
    """
    return _by_chance(subjects) + _NOTICED


def certain_outstanding(subjects: int, d_prime: float) -> float:
    """Return the standard deviations from which a pair of so many subjects is certain.

    Few subjects show too little of how similar different people are, unless `d_prime` says that the faces are clear.
    """
    few = 1.0 if d_prime >= _CLEAR_D_PRIME else max(1.0, _MANY_SUBJECTS / subjects)
    return max(_CERTAIN * few, _by_chance(subjects) + _CERTAIN_PAST_CHANCE)


def _by_chance(subjects: int) -> float:
    return float(np.sqrt(2 * np.log(max(subjects * (subjects - 1) / 2, 2))))


def _measure_impostors(
    faces: FaceSet, subject_N: npt.NDArray[np.int64], means_SD: Doubles, count_S: Doubles
) -> Impostors:
    """Over at most 1024 evenly spaced subjects, and as many images."""
    subjects = _evenly(len(count_S))
    pairs = np.triu_indices(len(subjects), 1)
    of_people_P = (means_SD[subjects] @ means_SD[subjects].T)[pairs]
    shrinking_P = ((1 / count_S[subjects, None] + 1 / count_S[subjects]) / 2)[pairs]
    images = np.argsort(subject_N, kind="stable")[_evenly(len(subject_N))]
    e_ND = faces.embeddings[images].astype(np.float64)
    of_images_P = (e_ND @ e_ND.T)[np.triu(subject_N[images, None] != subject_N[images], 1)]
    people_median, people_deviation = _median_and_deviation(of_people_P)
    median, deviation = _median_and_deviation(of_images_P)
    shrinking = float(np.median(shrinking_P))
    between = ((people_deviation / max(deviation, 1e-9)) ** 2 - shrinking) / max(1 - shrinking, 1e-9)
    return Impostors(max(people_median, median), deviation, float(np.clip(between, _LEAST_BETWEEN, 1)))


def _evenly(count: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, _COMPARED)).round().astype(np.int64)


def _median_and_deviation(values_P: Doubles) -> tuple[float, float]:
    median = float(np.median(values_P))
    return median, _DEVIATION * float(np.median(np.abs(values_P - median)))


def _spread(
    faces: FaceSet,
    subject_N: npt.NDArray[np.int64],
    subjects: int,
    pairs: float,
    impostors: float,
    genuine_mean: float,
    impostor_mean: float,
) -> float:
    """Return the pooled standard deviation of genuine and impostor similarities over all ordered pairs."""
    e_ND = faces.embeddings.astype(np.float64)
    # The Gram matrices of images and of dimensions have one norm: the smaller one is cheaper.
    products = e_ND.T @ e_ND if len(e_ND) > e_ND.shape[1] else e_ND @ e_ND.T
    all_squares = float((products**2).sum())
    order = np.argsort(subject_N, kind="stable")
    bounds = np.searchsorted(subject_N[order], np.arange(subjects + 1))
    own_squares = 0.0
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        of_one_KD = e_ND[order[first:last]]
        own_squares += float(((of_one_KD @ of_one_KD.T) ** 2).sum())
    genuine_variance = max((own_squares - len(e_ND)) / pairs - genuine_mean**2, 0.0)
    impostor_variance = max((all_squares - own_squares) / impostors - impostor_mean**2, 0.0)
    return float(np.sqrt((genuine_variance + impostor_variance) / 2))
