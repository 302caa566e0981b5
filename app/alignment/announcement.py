"""Keeps a line of LiteRT from the terminal and from the service's log.

LiteRT announces its XNNPACK delegate on file descriptor 2 when the first network of a process is allocated. It has no
option for that, and an interpreter without the delegate computes other values.
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LINE = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"
_STDERR = 2

_lock = threading.Lock()
_announced = threading.Event()


@contextmanager
def without_announcement() -> Iterator[None]:
    """Drop LiteRT's line from what is written to file descriptor 2 in the block. All else is written when the first
    block of the process ends; later blocks change nothing."""
    if _announced.is_set():
        yield
        return
    with _lock:
        if _announced.is_set():
            yield
            return
        try:
            stderr = os.dup(_STDERR)
        except OSError:  # closed, as in some services
            yield
            return
        with tempfile.TemporaryFile() as written:
            os.dup2(written.fileno(), _STDERR)
            try:
                yield
            finally:
                os.dup2(stderr, _STDERR)
                os.close(stderr)
                _announced.set()
                written.seek(0)
                with suppress(OSError):
                    os.write(_STDERR, written.read().replace(_LINE, b""))
