"""A random sample of impostor pairs with their subjects, for folds and bootstrap."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.training.metrics.faces import Floats, Integers

# Shape suffixes: K pairs of the sample, R probes of a block, G gallery images.

SAMPLED_IMPOSTORS = 2**20
"""Size of the sample."""


@dataclass(frozen=True)
class ImpostorSample:
    """Impostor pairs by descending score, with the subjects' indices on both sides."""

    scores_K: Floats
    probe_subject_K: Integers
    gallery_subject_K: Integers


class Sampler:
    """Draws the sample block by block; all of the `impostors` where they are no more than SAMPLED_IMPOSTORS."""

    def __init__(self, impostors: int) -> None:
        self._impostors = impostors
        self._random = np.random.default_rng(0)
        self._sampled: list[tuple[Floats, Integers, Integers]] = []

    def add(self, scores_RG: Tensor, impostor_RG: Tensor, first_RG: Tensor, second_RG: Tensor) -> None:
        """Sample a block. The subjects broadcast to the scores."""
        if self._impostors <= SAMPLED_IMPOSTORS:
            chosen = tuple(impostor_RG.nonzero().T)
        else:
            pairs = scores_RG.numel()
            expected = pairs * SAMPLED_IMPOSTORS / self._impostors
            drawn = self._random.integers(pairs, size=self._random.poisson(expected))
            places = torch.from_numpy(drawn).to(scores_RG.device)
            places = places[impostor_RG.view(-1)[places]]
            chosen = places // scores_RG.shape[1], places % scores_RG.shape[1]
        first_K, second_K = (subject.expand_as(scores_RG)[chosen] for subject in (first_RG, second_RG))
        self._sampled.append((scores_RG[chosen].cpu().numpy(), first_K.cpu().numpy(), second_K.cpu().numpy()))

    def finish(self) -> ImpostorSample:
        """Return the sample. No pairs can be added afterwards."""
        scores, first, second = (np.concatenate(parts) for parts in zip(*self._sampled, strict=True))
        order = np.argsort(-scores)
        return ImpostorSample(scores[order], first[order], second[order])
