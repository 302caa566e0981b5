"""Handles Ctrl-C: a training at the terminal saves its state first."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


@contextlib.contextmanager
def stop_at_interrupt(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C. The second one ends the process as usual."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, usual)
        # click.echo is not reentrant, and the signal may interrupt it.
        os.write(2, b"\nStopping: the state is being saved. Ctrl-C again ends at once.\n")

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
