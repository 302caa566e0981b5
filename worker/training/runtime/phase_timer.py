"""How long the phases of a run took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.training.runtime.gpu_wait import wait_for_gpu


class PhaseTimer:
    """`seconds` has the duration of each phase that ended, by name."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.seconds: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the timer was made."""
        return time.monotonic() - self._started

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the body, with all that a GPU computes for it. A phase that raises is not noted; one that runs again
        replaces the former duration."""
        wait_for_gpu()
        started = time.monotonic()
        yield
        wait_for_gpu()
        self.seconds[name] = time.monotonic() - started
