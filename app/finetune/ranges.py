"""Estimates of unknown numbers, with a range."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_LEAST_SPREAD = (0.9, 1.15)
"""Relative range around a median of few measurements. Later a machine is more often busier than idler."""

_GUESSED_SPREAD = (0.8, 1.3)
"""Relative range around a single or partial measurement."""


@dataclass(frozen=True)
class Estimate:
    """A range: low <= likely <= high, in one unit."""

    low: float
    likely: float
    high: float

    def __add__(self, other: "Estimate") -> "Estimate":
        """Add two estimates as if their errors were fully correlated."""
        return Estimate(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def times(self, factor: float) -> "Estimate":
        """Multiply the estimate by `factor` >= 0."""
        return Estimate(self.low * factor, self.likely * factor, self.high * factor)

    @classmethod
    def exactly(cls, value: float) -> Self:
        return cls(value, value, value)

    @classmethod
    def about(cls, value: float) -> Self:
        """Estimate from a single measurement."""
        low, high = _GUESSED_SPREAD
        return cls(value * low, value, value * high)

    @classmethod
    def of(cls, measured: Sequence[float]) -> Self:
        """Estimate from at least one measurement: median, minimum and maximum, with a minimum width for few
        measurements."""
        likely = statistics.median(measured)
        low, high = _LEAST_SPREAD
        return cls(min(*measured, low * likely), likely, max(*measured, high * likely))


NOTHING = Estimate.exactly(0.0)
