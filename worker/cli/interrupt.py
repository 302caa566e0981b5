"""Ctrl-C, where a training at the terminal is to save its state first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit status of what Ctrl-C has ended."""


@contextlib.contextmanager
def stop_at_interrupt(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`; the second ends the process as it always does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, usual)
        # Not by click: the signal may have come in the middle of its writing.
        os.write(2, b"\nStopping: the state is being saved. Ctrl-C again ends at once.\n")

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
