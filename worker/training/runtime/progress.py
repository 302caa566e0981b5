"""The progress of a run: its phases, the work done in each, and the time left."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from app.finetune.events import Phase, PhaseStarted, Progressed, Report, Stage
from worker.training.runtime.control import Control
from worker.training.runtime.time_left import Plan, TimeLeft

_SECONDS_BETWEEN_REPORTS = 0.5
_ALMOST = 0.999
"""The most that is reported before the end, of the run and of a phase: their work is an estimate."""


class Progress:
    """Reports `PhaseStarted` when a phase begins, and `Progressed` at most twice a second while it runs.

    Without a plan, the phases are named and nothing more is known. With one, the progress of the run is that of the
    expected seconds of its phases. `reported` is the progress, in 0..1, that earlier processes reported: it never
    falls. The ETA is a number from the plan to the end.
    """

    def __init__(self, report: Report, now: Callable[[], float] = time.monotonic, *, reported: float = 0.0) -> None:
        self._report = report
        self._now = now
        self._reported = reported
        self._phase_reported = 0.0
        self._plan: Plan = {}
        self._time_left: TimeLeft | None = None
        self._phase: Phase | None = None
        self._done = 0.0
        self._stage: Stage | None = None
        self._epoch: int | None = None
        self._step: int | None = None
        self._steps_done = 0
        self._reported_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def done(self) -> float:
        """The share of the current phase that is done, in 0..1."""
        return self._done

    @property
    def share(self) -> float:
        """The share of the run that is done, in 0..1, which may be less than was reported."""
        phase, phases = self._phase, list(self._plan)
        if phase is None or phase not in self._plan:
            return 0.0
        before = sum(self._plan[each].seconds for each in phases[: phases.index(phase)])
        total = sum(cost.seconds for cost in self._plan.values())
        return min(1.0, (before + self._done * self._plan[phase].seconds) / total)

    def plan(self, plan: Plan) -> None:
        """Set the phases of the run and their costs, the current phase among them."""
        self._plan, self._time_left = plan, TimeLeft(plan)
        if self._phase is not None and self._phase in plan:
            self._time_left.begin(self._phase, self._now())
        self._emit_if_due()

    def start(self, phase: Phase, done: float = 0.0) -> None:
        """Begin a phase, or go to another place in the current one. `done` is the share of it that is done, in 0..1."""
        if phase != self._phase:
            self._phase, self._phase_reported = phase, 0.0
            if self._time_left is not None and phase in self._plan:
                self._time_left.begin(phase, self._now())
            self._report(PhaseStarted(phase))
        self._done = done
        self._emit(self.share)

    def go_back(self, done: float) -> None:
        """Set the share of the current phase that is done; the reported progress stays."""
        self._done = done

    def start_epoch(
        self, stage: Stage, epoch: int, epochs: int, *, step: int = 0, steps: int = 1, steps_done: int = 0
    ) -> None:
        """Begin or resume an epoch: `step` of its `steps` are done, `steps_done` of the whole run."""
        self._stage, self._epoch, self._step, self._steps_done = stage, epoch, step, steps_done
        self._done = (epoch - 1 + step / steps) / epochs

    def advance(self, work: float, *, steps: int = 0) -> None:
        """Add work in forward passes, and steps of the optimizer."""
        if self._phase is not None and self._phase in self._plan and self._time_left is not None:
            self._done = min(1.0, self._done + work / max(self._plan[self._phase].work, 1e-9))
            self._time_left.add(work)
        self._steps_done += steps
        if self._step is not None:
            self._step += steps
        self._emit_if_due()

    def shares(self, work: float) -> Callable[[float], None]:
        """A callback for the share, in 0..1, that is done of so much work."""
        done = 0.0

        def advance(share: float) -> None:
            nonlocal done
            self.advance((share - done) * work)
            done = share

        return advance

    def tick(self) -> None:
        """Report that the run is at work, from any thread, without further work done."""
        self._emit_if_due()

    def expect(self, phase: Phase, seconds: float) -> None:
        """Set the seconds that a phase of the plan still takes, by a measurement."""
        if phase in self._plan and self._time_left is not None:
            left = 1 - self._done if phase == self._phase else 1.0
            self._time_left.expect(phase, seconds, left, self._now())

    def finish(self) -> None:
        """Report 1.0."""
        self._phase_reported = 1.0
        self._emit(1.0, ended=True)

    def _emit_if_due(self) -> None:
        if self._now() - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
            self._emit(self.share)

    def _emit(self, share: float, *, ended: bool = False) -> None:
        with self._lock:
            now = self._reported_at = self._now()
            self._reported = max(self._reported, share if ended else min(share, _ALMOST))
            self._phase_reported = max(self._phase_reported, min(self._done, _ALMOST))
            left = None if self._time_left is None else self._time_left.seconds(self._done, now)
            self._report(
                Progressed(
                    self._reported,
                    0.0 if ended else left,
                    self._stage,
                    self._epoch,
                    self._step,
                    self._steps_done,
                    self._phase,
                    self._phase_reported,
                )
            )


def at_work(control: Control, progress: Progress) -> Control:
    """The same control; long work that calls its `at_work` is reported to `progress` too."""

    def tick() -> None:
        control.at_work()
        progress.tick()

    return replace(control, at_work=tick)
