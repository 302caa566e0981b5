"""Named parts of a run's time, for `torch.profiler` and for a list, while `profiling()` is on.

Off, a part costs about a microsecond.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.profiler import record_function

from worker.training.runtime.gpu_wait import wait_for_gpu

PREFIX = "edgeface: "
"""The prefix of the parts' names in a trace."""

Span = tuple[float, float, str]
"""Seconds of `time.perf_counter` at start and end, and the part's name."""

_spans: list[Span] | None = None


@contextmanager
def profiled(part: str) -> Iterator[None]:
    """A context manager and decorator that names what runs inside. Parts may nest. For the run's own thread."""
    if _spans is None:
        yield
        return
    wait_for_gpu()  # its kernels are its own
    started = time.perf_counter()
    try:
        with record_function(PREFIX + part):
            yield
            wait_for_gpu()
    finally:
        _spans.append((started, time.perf_counter(), part))


def is_profiling() -> bool:
    """Whether parts are noted: then everything has to run in one thread."""
    return _spans is not None


@contextmanager
def profiling() -> Iterator[list[Span]]:
    """Note the parts that run inside in the list."""
    global _spans
    noted: list[Span] = []
    _spans = noted
    try:
        yield noted
    finally:
        _spans = None
