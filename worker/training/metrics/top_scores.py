"""The highest scores of a stream, in bounded memory."""

import numpy as np

from worker.training.metrics.faces import Floats

_SPARE = 0.25


class TopScores:
    """Keeps the `count` highest scores of a stream in 1.25 * `count` * 4 bytes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept = np.empty(count + max(1024, int(count * _SPARE)), np.float32)
        self._filled = 0
        self._floor = np.float32(-np.inf)

    def offer(self, ascending: Floats) -> None:
        """Add scores, which must ascend."""
        candidates = ascending[np.searchsorted(ascending, self._floor, side="right") :]
        while len(candidates):
            taken = candidates[-(len(self._kept) - self._filled) :]
            self._kept[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            candidates = candidates[: len(candidates) - len(taken)]
            if self._filled == len(self._kept):
                self._drop_the_lowest()
                candidates = candidates[np.searchsorted(candidates, self._floor, side="right") :]

    def descending(self) -> Floats:
        """Return the highest scores, descending. No scores can be added afterwards."""
        kept = self._kept[: self._filled]
        kept.sort()
        return kept[::-1][: self._count]

    def _drop_the_lowest(self) -> None:
        first = self._filled - self._count
        self._kept.partition(first)
        self._floor = self._kept[first]
        self._kept[: self._count] = self._kept[first:].copy()
        self._filled = self._count
