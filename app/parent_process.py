"""A process that ends when the process that started it is gone."""

import os
import signal
import threading

_PARENT_PIPE = "EDGEFACE_PARENT_PIPE"


def end_with_parent() -> None:
    """In a process that `serve` started: stop when `serve` is gone, however it went."""
    if os.environ.pop(_PARENT_PIPE, None):
        threading.Thread(target=_wait_for_parent, name="parent", daemon=True).start()


def _wait_for_parent() -> None:
    # Not sys.stdin: its lock, held here for ever, would abort the interpreter's own end.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
