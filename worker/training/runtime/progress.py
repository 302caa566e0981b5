"""The progress of a run and the time that it has left."""

import time
from collections.abc import Callable
from statistics import median

from app.finetune.events import Progressed, Report, Stage

_SECONDS_BETWEEN_REPORTS = 0.5
_ALMOST = 0.999
"""The most that is reported before the end: the last files are written after the last work that is counted."""
_STEADY = 1.25


class Progress:
    """Turns work done into `Progressed` events: at most two a second, and the progress never falls.

    `total_work` is an estimate in forward passes (see cost_model.py); early stopping makes it too high. `reported` is
    the progress, in 0..1, that earlier processes reported. The ETA is None until the last two whole epochs of stage 2,
    or of a DSR network, took alike (within 25 %), since only then is the past a fair guess of the future. `work_after`
    is the part of the work that follows the training.
    """

    def __init__(
        self,
        total_work: float,
        report: Report,
        now: Callable[[], float] = time.monotonic,
        *,
        reported: float = 0.0,
        work_after: float = 0.0,
    ) -> None:
        self.work_done = 0.0
        self._total_work = total_work
        self._work_after = work_after
        self._seconds_after: float | None = None
        self._trained_at: float | None = None
        self._report = report
        self._now = now
        self._reported = reported
        self._stage: Stage | None = None
        self._epoch: int | None = None
        self._step: int | None = None
        self._steps_done = 0
        self._reported_at = float("-inf")
        self._epoch_started_at = 0.0
        self._epoch_began_with = 0.0
        self._epoch_work = 0.0
        self._epoch_is_whole = False
        self._epoch_seconds: list[float] = []
        self._epochs_left = 0

    @property
    def share(self) -> float:
        """The work done in 0..1, which may be less than was reported."""
        return min(self.work_done / self._total_work, 1.0)

    def go_back(self, work_done: float) -> None:
        """Set the work done to that of a saved state; the reported progress stays."""
        self.work_done = work_done

    def start_epoch(self, stage: Stage, epoch: int, epochs: int, *, step: int = 0, steps_done: int = 0) -> None:
        """Begin or resume an epoch: `step` of its optimizer steps are done, `steps_done` of the whole run."""
        self._stage, self._epoch, self._step, self._steps_done = stage, epoch, step, steps_done
        self._epoch_started_at, self._epoch_began_with = self._now(), self.work_done
        self._epoch_is_whole = step == 0
        self._epochs_left = 0 if stage == 1 else epochs - epoch + 1

    def finish_epoch(self) -> None:
        """Note how long the epoch took, for the ETA."""
        self._epochs_left -= 1
        if self._stage != 1 and self._epoch_is_whole:
            self._epoch_seconds.append(self._now() - self._epoch_started_at)
            self._epoch_work = self.work_done - self._epoch_began_with

    def expect_after(self, seconds: float) -> None:
        """Set the seconds that follow the training; without it they are estimated from `work_after`."""
        self._seconds_after = seconds

    def finish_training(self) -> None:
        """Count the training as done, with the epochs that early stopping left out."""
        self.work_done = max(self.work_done, self._total_work - self._work_after)
        self._trained_at = self._now()

    def advance(self, work: float, *, steps: int = 0) -> None:
        """Add work in forward passes, and steps of the optimizer."""
        self.work_done += work
        self._steps_done += steps
        if self._step is not None:
            self._step += steps
        if self._now() - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
            self._emit(min(self.share, _ALMOST), self._eta())

    def finish(self) -> None:
        """Report 1.0."""
        self._emit(1.0, 0.0)

    def _eta(self) -> float | None:
        if self._trained_at is not None:
            return self._eta_after(self._trained_at)
        if len(self._epoch_seconds) < 2:
            return None
        shorter, longer = sorted(self._epoch_seconds[-2:])
        if longer > _STEADY * shorter:
            return None
        into_epoch = self._now() - self._epoch_started_at
        return max(0.0, self._epochs_left * median(self._epoch_seconds) - into_epoch) + (self._expected_after() or 0.0)

    def _eta_after(self, trained_at: float) -> float | None:
        """By the clock, but at least the time that the remaining work takes."""
        if (expected := self._expected_after()) is None:
            return None
        left = (self._total_work - self.work_done) / self._work_after if self._work_after else 0.0
        return max(expected - (self._now() - trained_at), expected * max(left, 1 - _ALMOST))

    def _expected_after(self) -> float | None:
        if self._seconds_after is None and self._epoch_work:
            return self._work_after * median(self._epoch_seconds) / self._epoch_work
        return self._seconds_after

    def _emit(self, progress: float, eta_seconds: float | None) -> None:
        self._reported_at = self._now()
        self._reported = max(self._reported, progress)
        self._report(Progressed(self._reported, eta_seconds, self._stage, self._epoch, self._step, self._steps_done))
