"""Finds people under two names: subjects whose images are as similar as those of one person.

It compares means over all pairs of images, since the best pair of two people often scores higher than one person's
worst.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.training.metrics import FaceSet

Doubles = npt.NDArray[np.float64]

# Shape suffixes: N faces, S subjects, D = 512 dimensions.

ALIKE = 0.9
"""Limit of a pair's mean similarity on a scale from that of different people (0) to that of one person's images, of the
less similar subject (1). docs/decisions/0014 has the values of different people and of one person under two names."""

LEAST_D_PRIME = 1.5
"""Least separation of all pairs of faces. A backbone with less does not identify people."""

_PAIRS_AT_ONCE = 2**22
_SUBJECTS_COMPARED = 1024
_DEVIATION = 1.4826  # the standard deviation of normal numbers, in median absolute deviations


@dataclass(frozen=True)
class SamePerson:
    """Two subjects that look like one person. `similarity` is the mean cosine of their pairs; `alike` is on the scale
    of ALIKE."""

    first: str
    second: str
    similarity: float
    alike: float


@dataclass(frozen=True)
class People:
    """Statistics of the subjects: the mean similarity of each subject's own pairs, or of all such pairs for a subject
    with one image."""

    names: list[str]
    means_SD: Doubles
    own_S: Doubles
    impostor_mean: float
    d_prime: float


def gather_people(faces: FaceSet) -> People | None:
    """Gather the statistics. None without two subjects, or without a subject with two images."""
    names, subject_N = np.unique(np.asarray(faces.subjects), return_inverse=True)
    count_S = np.bincount(subject_N, minlength=len(names)).astype(np.float64)
    sums_SD = np.zeros((len(names), faces.embeddings.shape[1]))
    np.add.at(sums_SD, subject_N, faces.embeddings)
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
    own_S = np.where(pairs_S > 0, within_S / np.maximum(pairs_S, 1), genuine_mean)
    return People(
        names=names.tolist(),
        means_SD=sums_SD / count_S[:, None],
        own_S=own_S,
        impostor_mean=impostor_mean,
        d_prime=(genuine_mean - impostor_mean) / max(spread, 1e-9),
    )


def find_same_people(people: People, on_block: Callable[[], None] = lambda: None) -> Iterator[SamePerson]:
    """Yield pairs of subjects at or above ALIKE that are outliers among all pairs, the most similar of each block
    first. `on_block` is called before each block and may raise."""
    least = least_outstanding(people)
    at_once = max(1, _PAIRS_AT_ONCE // len(people.names))
    for start in range(0, len(people.names), at_once):
        on_block()
        block = slice(start, start + at_once)
        similarity_RS = people.means_SD[block] @ people.means_SD.T
        own_RS = np.minimum(people.own_S[block, None], people.own_S)
        alike_RS = (similarity_RS - people.impostor_mean) / np.maximum(own_RS - people.impostor_mean, 1e-9)
        later_RS = np.arange(start, start + len(similarity_RS))[:, None] < np.arange(len(people.names))
        stands_out_RS = (own_RS > people.impostor_mean) & (similarity_RS >= least)
        found = np.argwhere(later_RS & (alike_RS >= ALIKE) & stands_out_RS)
        for row, column in sorted(found.tolist(), key=lambda at: -float(alike_RS[at[0], at[1]])):
            yield SamePerson(
                people.names[start + row],
                people.names[column],
                float(similarity_RS[row, column]),
                float(alike_RS[row, column]),
            )


def least_outstanding(people: People) -> float:
    """Return the mean similarity that the maximum of as many normally distributed pairs would reach by chance.

    ALIKE alone would accuse subjects whose own images show several people. Uses the median and the median absolute
    deviation, which are robust if up to half of the pairs are of one person under many names, over at most 1024 evenly
    spaced subjects.
    """
    subjects = len(people.names)
    chosen = np.linspace(0, subjects - 1, min(subjects, _SUBJECTS_COMPARED)).round().astype(np.int64)
    means_SD = people.means_SD[chosen]
    similarity_P = (means_SD @ means_SD.T)[np.triu_indices(len(chosen), 1)]
    median = float(np.median(similarity_P))
    deviation = _DEVIATION * float(np.median(np.abs(similarity_P - median)))
    return median + deviation * float(np.sqrt(2 * np.log(max(subjects * (subjects - 1) / 2, 2))))


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
    products_DD = e_ND.T @ e_ND
    all_squares = float((products_DD**2).sum())
    order = np.argsort(subject_N, kind="stable")
    bounds = np.searchsorted(subject_N[order], np.arange(subjects + 1))
    own_squares = 0.0
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        of_one_KD = e_ND[order[first:last]]
        own_squares += float(((of_one_KD @ of_one_KD.T) ** 2).sum())
    genuine_variance = max((own_squares - len(e_ND)) / pairs - genuine_mean**2, 0.0)
    impostor_variance = max((all_squares - own_squares) / impostors - impostor_mean**2, 0.0)
    return float(np.sqrt((genuine_variance + impostor_variance) / 2))
