"""Embeddings with their subjects and image names, and their similarity scores in blocks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.training.runtime.out_of_memory import unless_out_of_memory

_Result = TypeVar("_Result")

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# Shape suffixes: N faces, D dimensions, R probes of a block, G gallery images.

_SCORES_AT_ONCE = 2**25  # 128 MiB of scores; each mask takes a quarter of that
_HALVINGS = 6


@dataclass(frozen=True)
class FaceSet:
    """L2-normalised embeddings [N, D], each with its subject and name. Equal names denote the same photo.

    `on_device` are the same embeddings on the device that is to compare them; the CPU without.
    """

    embeddings: Floats
    subjects: Sequence[str]
    names: Sequence[str]
    on_device: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def tensor(self) -> Tensor:
        """The embeddings as a tensor."""
        return torch.from_numpy(self.embeddings) if self.on_device is None else self.on_device

    def only(self, chosen_N: Booleans) -> "FaceSet":
        """Return the faces where `chosen_N` is true, to be compared on the CPU."""
        indices = np.flatnonzero(chosen_N).tolist()
        return FaceSet(self.embeddings[indices], [self.subjects[i] for i in indices], [self.names[i] for i in indices])


def in_blocks_that_fit(compute: Callable[[FaceSet, int], _Result], probes: FaceSet) -> _Result:
    """`compute(probes, scores_at_once)`, once more with half the scores at once whenever memory runs out on the device
    of the probes, and at last on the CPU.

    The memory that a training leaves may not hold the largest blocks. Sums over blocks of another size differ by
    roundings.
    """
    scores_at_once = _SCORES_AT_ONCE
    if probes.tensor.device.type != "cpu":
        for _ in range(1 + _HALVINGS):
            result = unless_out_of_memory(partial(compute, probes, scores_at_once))
            if result is not None:
                return result
            scores_at_once //= 2
    return compute(replace(probes, on_device=None), _SCORES_AT_ONCE)


def score_blocks(probes: FaceSet, gallery: FaceSet, scores_at_once: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of the probes with their cosine similarities [R, G] to the whole gallery, on the device of the
    probes: `scores_at_once`, or those of one probe. Deterministic."""
    at_once = max(1, scores_at_once // max(1, len(gallery)))
    e_PD = probes.tensor
    e_GD = gallery.tensor.to(e_PD.device)
    for start in range(0, max(1, len(probes)), at_once):
        block = slice(start, min(start + at_once, len(probes)))
        yield block, e_PD[block] @ e_GD.T


def sort_ascending(scores: Tensor) -> Tensor:
    """Sort [N] in place, or return a sorted copy."""
    if scores.device.type != "cpu":
        return scores.sort().values
    scores.numpy().sort()  # PyTorch's sort, which also finds the indices, takes 20 times as long on a CPU.
    return scores


def numbered(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], Integers, Integers]:
    """Return the sorted distinct texts, and the indices of both sequences into them."""
    texts, numbers = np.unique([*first, *second], return_inverse=True)
    as_integers = numbers.astype(np.int64)
    return texts.tolist(), as_integers[: len(first)], as_integers[len(first) :]
