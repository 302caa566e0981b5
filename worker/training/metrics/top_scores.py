"""The highest scores of a stream, in bounded memory."""

import math

import torch
from torch import Tensor

from worker.training.metrics.faces import Floats, sort_ascending

_SPARE = 0.25


class TopScores:
    """Keeps the `count` highest scores of a stream in 1.25 * `count` * 4 bytes on a device."""

    def __init__(self, count: int, device: torch.device) -> None:
        self._count = count
        self._kept = torch.empty(count + max(1024, int(count * _SPARE)), device=device)
        self._filled = 0
        self._floor = -math.inf

    def offer(self, ascending: Tensor) -> None:
        """Add scores, which must ascend."""
        candidates = self._over_the_floor(ascending)
        while len(candidates):
            taken = candidates[-(len(self._kept) - self._filled) :]
            self._kept[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            candidates = candidates[: len(candidates) - len(taken)]
            if self._filled == len(self._kept):
                self._drop_the_lowest()
                candidates = self._over_the_floor(candidates)

    def descending(self) -> Floats:
        """Return the highest scores, descending. No scores can be added afterwards."""
        highest: Floats = sort_ascending(self._kept[: self._filled]).flip(0)[: self._count].cpu().numpy()
        return highest

    def _over_the_floor(self, ascending: Tensor) -> Tensor:
        return ascending[int(torch.searchsorted(ascending, self._floor, right=True)) :]

    def _drop_the_lowest(self) -> None:
        highest = sort_ascending(self._kept)[-self._count :]
        self._floor = float(highest[0])
        self._kept[: self._count] = highest.clone()
        self._filled = self._count
