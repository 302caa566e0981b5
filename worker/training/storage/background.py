"""Write files in the background while the run trains."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from app.finetune.events import Report, TrainingEvent
from worker.training.runtime.profiling import is_profiling

Write = Callable[[], Sequence[TrainingEvent]]
"""Writes files and returns the events to report once they are on the disk."""


class BackgroundWriter:
    """Runs one `Write` at a time in another thread. The calling thread reports the events that it returns, in order.

    A run that ends before it reported an event resumes from before that event.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._thread = ThreadPoolExecutor(1, "background-writer")
        self._writing: Future[Sequence[TrainingEvent]] | None = None

    def start(self, write: Write) -> None:
        """Begin `write`, after `join` of the one before. Raises what that one raised."""
        self.join()
        self._writing = self._thread.submit(write)
        if is_profiling():
            self.join()

    def report_if_done(self) -> None:
        """`join` where the writing has ended. Raises what it raised."""
        if self._writing is not None and self._writing.done():
            self.join()

    def join(self) -> None:
        """Wait for the writing and report the events that it returned. Raises what it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            for event in writing.result():
                self._report(event)
