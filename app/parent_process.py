"""Ends a process when its parent process ends."""

import os
import signal
import threading

PARENT_PIPE = "EDGEFACEPARENT_PIPE"


def end_with_parent() -> None:
    """In a process that `serve` started: end when `serve` ends, even if it is killed."""
    if os.environ.pop(PARENT_PIPE, None):
        threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    # Not sys.stdin: this thread would hold its lock while the interpreter shuts down, which aborts.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
