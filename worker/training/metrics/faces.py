"""Embeddings with their subjects and image names, and their similarity scores in blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# Shape suffixes: N faces, D dimensions, R probes of a block, G gallery images.

_SCORES_AT_ONCE = 2**25  # 128 MiB of scores; each mask takes a quarter of that


@dataclass(frozen=True)
class FaceSet:
    """L2-normalised embeddings [N, D], each with its subject and name. Equal names denote the same photo."""

    embeddings: Floats
    subjects: Sequence[str]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, chosen_N: Booleans) -> "FaceSet":
        """Return the faces where `chosen_N` is true."""
        indices = np.flatnonzero(chosen_N).tolist()
        return FaceSet(self.embeddings[indices], [self.subjects[i] for i in indices], [self.names[i] for i in indices])


def score_blocks(probes: FaceSet, gallery: FaceSet) -> Iterator[tuple[slice, Floats]]:
    """Yield slices of the probes with their cosine similarities [R, G] to the whole gallery. Deterministic."""
    at_once = max(1, _SCORES_AT_ONCE // max(1, len(gallery)))
    for start in range(0, max(1, len(probes)), at_once):
        block = slice(start, min(start + at_once, len(probes)))
        yield block, probes.embeddings[block] @ gallery.embeddings.T


def numbered(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], Integers, Integers]:
    """Return the sorted distinct texts, and the indices of both sequences into them."""
    texts, numbers = np.unique([*first, *second], return_inverse=True)
    as_integers = numbers.astype(np.int64)
    return texts.tolist(), as_integers[: len(first)], as_integers[len(first) :]
