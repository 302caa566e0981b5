"""Shows the progress of a job below its lines: a bar on a terminal, else a line now and then."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from app.cli import event_lines
from app.cli.durations import duration_text
from app.finetune.errors import printable
from app.finetune.events import Progressed, TrainingEvent

SILENT_SECONDS = 4.0
"""Where the output is no terminal, the progress is printed after so long without a line."""

_TICK_SECONDS = 0.5


class LiveProgress:
    """Prints lines, and the progress below them. Lines may be printed from any thread.

    A file or a pipe gets the progress as a line whenever it got none for SILENT_SECONDS, so that nobody takes a long
    phase for a hang.
    """

    def __init__(self, console: Console, where: str = "starting", now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self.share = 0.0
        self._where, self._left = where, ""
        self._printed_at = now()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
        )
        self._bar = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = None if self._bar is None else self._bar.add_task(where, total=1.0, left="")
        self._ticker = threading.Thread(target=self._tick_until_ended, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        else:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        else:
            self._ticker.join()

    def print(self, line: str) -> None:
        with self._lock:
            self._print(line)

    def show(self, event: TrainingEvent) -> None:
        """Print the line of an event, or update the progress."""
        if isinstance(event, Progressed):
            where = place_in_words(event.phase, event.stage, event.epoch) or self._where
            self.update(where, event.progress, event.eta_seconds)
        elif (line := event_lines.event_line(event)) is not None:
            self.print(line)

    def update(self, where: str, share: float, eta_seconds: float | None) -> None:
        """Show where the job is, its progress in 0..1 and the seconds that are left."""
        self._where, self.share = where, share
        self._left = "" if eta_seconds is None else f"{duration_text(eta_seconds)} left"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=where, completed=share, left=self._left)

    def tick(self) -> None:
        """Print the progress where nothing was printed for long."""
        with self._lock:
            if self._now() - self._printed_at >= SILENT_SECONDS:
                self._print(", ".join(filter(None, (f"  ... {self._where} {self.share:.0%}", self._left))))

    def _print(self, line: str) -> None:
        self._printed_at = self._now()
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def _tick_until_ended(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            self.tick()


def place_in_words(phase: str | None, stage: int | None, epoch: int | None) -> str | None:
    """Where a job is: `teacher targets`, or `stage 2 epoch 7`. None where nobody works on it."""
    if stage is not None and (phase is None or phase == f"stage_{stage}"):
        return f"stage {stage}" + ("" if epoch is None else f" epoch {epoch}")
    return None if phase is None else phase.replace("_", " ")
