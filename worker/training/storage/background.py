"""Files written while the training goes on."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from app.finetune.events import Report, TrainingEvent
from worker.training.runtime.profiling import is_profiling

Write = Callable[[], Sequence[TrainingEvent]]
"""Writes files and returns the events to be told once they are on the disk."""


class BackgroundWriter:
    """One writing at a time, in another thread; what it returns is told by the training's own thread, in order.

    A training that ends or dies before something is told goes on, or is gone on with, from before it.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._thread = ThreadPoolExecutor(1, "beside")
        self._writing: Future[Sequence[TrainingEvent]] | None = None

    def start(self, write: Write) -> None:
        """Begin `write`, after the one before has ended and been told. Raises what that one raised."""
        self.settle()
        self._writing = self._thread.submit(write)
        if is_profiling():
            self.settle()

    def report_if_done(self) -> None:
        """Raises what the writing raised."""
        if self._writing is not None and self._writing.done():
            self.settle()

    def settle(self) -> None:
        """Wait for the writing and tell what it returned. Raises what it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            for event in writing.result():
                self._report(event)
