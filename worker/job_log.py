"""Sends what a trainer logs to its supervisor, for the log of the job."""

import logging
from collections.abc import Callable

from app.finetune.shown_paths import ShownPaths
from app.logs import hide_secrets
from app.repeated_lines import RepeatedLines
from worker.messages import Logged

MOST_ENTRIES = 1000
"""Entries of one attempt that are sent. The log of the worker has the others."""


def send_log(send: Callable[[Logged], None], paths: ShownPaths) -> None:
    """Send each entry of this process, with its traceback, besides what its log does with it."""
    logging.getLogger().addHandler(_Sender(send, paths))


class _Sender(logging.Handler):
    def __init__(self, send: Callable[[Logged], None], paths: ShownPaths) -> None:
        super().__init__(logging.INFO)
        self._send, self._paths, self._left = send, paths, MOST_ENTRIES
        self.addFilter(RepeatedLines())

    def emit(self, record: logging.LogRecord) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        try:
            text = self._paths.shown(hide_secrets(self.format(record)))
            self._send(Logged(record.levelname.lower(), text))
            if not self._left:
                self._send(Logged("warning", "more entries of this attempt are in the log of the worker only"))
        except Exception:  # a log must not end a training
            self.handleError(record)
