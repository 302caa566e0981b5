"""Names for the parts of a training's time: seen by `torch.profiler`, and noted, while `profiling()` is on.

Off, a part costs about a microsecond.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.profiler import record_function

PREFIX = "edgeface: "
"""What the names of our parts begin with in a trace."""

Span = tuple[float, float, str]
"""Seconds of `time.perf_counter` at start and end, and the part's name."""

_spans: list[Span] | None = None


@contextmanager
def profiled(part: str) -> Iterator[None]:
    """As a context or a decorator: what happens inside is `part`. Parts may nest. For the training's own thread."""
    if _spans is None:
        yield
        return
    started = time.perf_counter()
    try:
        with record_function(PREFIX + part):
            yield
            if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():  # type: ignore[no-untyped-call]
                torch.cuda.synchronize()  # its kernels are its own
    finally:
        _spans.append((started, time.perf_counter(), part))


def is_profiling() -> bool:
    """Whether parts are told apart: then everything has to happen in one thread."""
    return _spans is not None


@contextmanager
def profiling() -> Iterator[list[Span]]:
    """Parts are noted in the list meanwhile."""
    global _spans
    noted: list[Span] = []
    _spans = noted
    try:
        yield noted
    finally:
        _spans = None
