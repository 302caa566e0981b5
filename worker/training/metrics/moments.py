"""Streaming mean and variance of scores, and the separation of genuine and impostor scores."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_AT_ONCE = 2**20


@dataclass(frozen=True)
class Moments:
    """Number of scores, their mean, and the sum of squared deviations from it."""

    count: int
    mean: float
    squares: float

    @classmethod
    def none(cls) -> "Moments":
        return cls(0, 0.0, 0.0)

    @classmethod
    def of(cls, scores: Tensor) -> "Moments":
        """Compute the moments in float64, block by block."""
        moments = cls.none()
        for part in torch.split(scores, _AT_ONCE) if len(scores) else ():
            part = part.double()
            mean = part.mean()
            moments = moments.merged(cls(len(part), float(mean), float((part - mean).square_().sum())))
        return moments

    def merged(self, other: "Moments") -> "Moments":
        """Combine both: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979."""
        if not self.count or not other.count:
            return self if self.count else other
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * other.count / count
        return Moments(count, mean, self.squares + other.squares + apart**2 * self.count * other.count / count)

    @property
    def variance(self) -> float:
        """Population variance."""
        return self.squares / self.count


@dataclass(frozen=True)
class Separation:
    """Mean similarities (cosines in [-1, 1]) of genuine and impostor pairs, and d': the difference of the means divided
    by the root of the mean variance, negative if impostors are more similar. `d_prime` is None if the scores have no
    variance but different means."""

    genuine: float
    impostor: float
    d_prime: float | None

    @property
    def gap(self) -> float:
        """Difference of the means, in [-2, 2]."""
        return self.genuine - self.impostor


def separate(genuine: Moments, impostor: Moments) -> Separation | None:
    """Return the separation. None without a genuine or an impostor pair."""
    if not genuine.count or not impostor.count:
        return None
    deviation = float(np.sqrt((genuine.variance + impostor.variance) / 2))
    if deviation == 0:
        return Separation(genuine.mean, impostor.mean, 0.0 if genuine.mean == impostor.mean else None)
    return Separation(genuine.mean, impostor.mean, (genuine.mean - impostor.mean) / deviation)
