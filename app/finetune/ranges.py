"""A number that is not known yet: a guess, and how far it may be off."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_LEAST_SPREAD = (0.9, 1.15)
"""Of a median of few measurements. A machine is more often busier than idler later on."""

_GUESSED_SPREAD = (0.8, 1.3)
"""Of what was measured once, or on a part of the whole."""


@dataclass(frozen=True)
class Estimate:
    """low <= likely <= high, all of one unit."""

    low: float
    likely: float
    high: float

    def __add__(self, other: "Estimate") -> "Estimate":
        """Of both together, as if whatever slows one down slowed the other down too."""
        return Estimate(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> "Estimate":
        """Of so many alike; `factor` >= 0."""
        return Estimate(self.low * factor, self.likely * factor, self.high * factor)

    @classmethod
    def exactly(cls, value: float) -> Self:
        return cls(value, value, value)

    @classmethod
    def about(cls, value: float) -> Self:
        """Of what was measured once."""
        low, high = _GUESSED_SPREAD
        return cls(value * low, value, value * high)

    @classmethod
    def of(cls, measured: Sequence[float]) -> Self:
        """The median of at least one measurement, and its least and most; not narrower than a few measurements can
        tell."""
        likely = statistics.median(measured)
        low, high = _LEAST_SPREAD
        return cls(min(*measured, low * likely), likely, max(*measured, high * likely))


NOTHING = Estimate.exactly(0.0)
