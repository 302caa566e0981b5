"""Mean and variance of scores that come in blocks, and how far genuine and impostor scores are apart."""

from dataclasses import dataclass

import numpy as np

from worker.training.metrics.faces import Floats

_AT_ONCE = 2**20


@dataclass(frozen=True)
class Moments:
    """Number of scores, their mean, and the sum of their squared distances to it."""

    count: int
    mean: float
    squares: float

    @classmethod
    def none(cls) -> "Moments":
        return cls(0, 0.0, 0.0)

    @classmethod
    def of(cls, scores: Floats) -> "Moments":
        """In float64, some at a time."""
        moments = cls.none()
        for start in range(0, len(scores), _AT_ONCE):
            part = scores[start : start + _AT_ONCE].astype(np.float64)
            mean = float(part.mean())
            moments = moments.merged(cls(len(part), mean, float(np.square(part - mean).sum())))
        return moments

    def merged(self, other: "Moments") -> "Moments":
        """Both together: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979."""
        if not self.count or not other.count:
            return self if self.count else other
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * other.count / count
        return Moments(count, mean, self.squares + other.squares + apart**2 * self.count * other.count / count)

    @property
    def variance(self) -> float:
        """Of the population."""
        return self.squares / self.count


@dataclass(frozen=True)
class Separation:
    """How far apart genuine and impostor pairs are: the means of their similarities (cosines, -1..1), and d', the
    difference of the means in standard deviations (the root of the mean of both variances); below 0 where impostors
    are the more alike. `d_prime` is None where the scores do not vary but the means differ."""

    genuine: float
    impostor: float
    d_prime: float | None

    @property
    def gap(self) -> float:
        """In -2..2."""
        return self.genuine - self.impostor


def separate(genuine: Moments, impostor: Moments) -> Separation | None:
    """None without a genuine or an impostor pair."""
    if not genuine.count or not impostor.count:
        return None
    deviation = float(np.sqrt((genuine.variance + impostor.variance) / 2))
    if deviation == 0:
        return Separation(genuine.mean, impostor.mean, 0.0 if genuine.mean == impostor.mean else None)
    return Separation(genuine.mean, impostor.mean, (genuine.mean - impostor.mean) / deviation)
