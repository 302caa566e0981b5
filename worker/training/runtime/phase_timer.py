"""How long the phases of a run took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


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
        """Time the body. A phase that raises is not noted; one that runs again replaces the former duration."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
