"""RepeatedLines: a logging filter that passes one line per kind of trouble and minute."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

SECONDS = 60.0
MOST_KINDS = 1000
"""Kinds of trouble that are remembered. The oldest is forgotten for a new one."""

OF_OVERLOAD = frozenset({429, 503})
"""Statuses of answers whose lines are held back too, though they are no warnings: they come in thousands."""

_Kind = tuple[Any, ...]


@dataclass
class _Seen:
    since: float
    held_back: int = 0


class RepeatedLines(logging.Filter):
    """Passes the first warning or error of a kind, and holds back those that follow within `seconds`.

    A kind is the logger, the level, the message before its arguments are filled in, and for an exception its type and
    the line that raised it. Lines below WARNING pass, except those about requests with a status of OF_OVERLOAD, and so
    do those of the loggers `each`. The end of the time logs how many were held back.

    Give one instance to a handler: the filters of a logger do not see the lines of its children.
    """

    def __init__(
        self,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        each: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._each = frozenset(each)
        self._thread = threading.local()
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.RLock()  # a handler of a signal may log while its thread does
        self._seen: OrderedDict[_Kind, _Seen] = OrderedDict()
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        is_trouble = record.levelno >= logging.WARNING or getattr(record, "status", None) in OF_OVERLOAD
        if not is_trouble or record.name in self._each or getattr(self._thread, "reports", False):
            return True
        kind = _kind_of(record)
        with self._lock:
            now = self._clock()
            seen = self._seen.get(kind)
            if seen is not None and now - seen.since < self._seconds:
                seen.held_back += 1
                self._start_timer()
                return False
            self._seen[kind] = _Seen(now)
            self._seen.move_to_end(kind)
            if len(self._seen) > MOST_KINDS:
                self._seen.popitem(last=False)
        if seen is not None and seen.held_back:
            self._report(kind, seen.held_back)
        return True

    def report_held_back(self) -> None:
        """Log how many lines of each kind were held back, of those whose time is over."""
        with self._lock:
            now = self._clock()
            over = {kind: seen for kind, seen in self._seen.items() if now - seen.since >= self._seconds}
            for kind in over:
                del self._seen[kind]
        for kind, seen in over.items():
            if seen.held_back:
                self._report(kind, seen.held_back)

    def _report(self, kind: _Kind, held_back: int) -> None:
        name, level, message = kind[:3]
        lines = "line" if held_back == 1 else "lines"
        said = "%d more %s like this in %.0f s: %s"
        self._thread.reports = True
        try:
            logging.getLogger(name).log(level, said, held_back, lines, self._seconds, message.strip())
        finally:
            self._thread.reports = False

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._end_of_time)
            self._timer.daemon = True
            self._timer.start()

    def _end_of_time(self) -> None:
        self.report_held_back()
        with self._lock:
            self._timer = None
            if any(seen.held_back for seen in self._seen.values()):
                self._start_timer()


def _kind_of(record: logging.LogRecord) -> _Kind:
    message = record.msg
    if isinstance(message, dict):  # an event of structlog
        message = message.get("event")
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    status = getattr(record, "status", None)
    return (record.name, record.levelno, str(message), status, type(error).__qualname__, _raised_at(error))


def _raised_at(error: BaseException | None) -> tuple[str, int] | None:
    trace = None if error is None else error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno
