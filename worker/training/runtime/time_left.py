"""The time that a run has left, phase by phase."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.finetune.phases import Phase


@dataclass(frozen=True)
class PhaseCost:
    """The expected cost of a phase: its work in forward passes, and its seconds, which are above 0."""

    work: float
    seconds: float


Plan = Mapping[Phase, PhaseCost]
"""The phases of a run in their order."""

_BY_NETWORK: frozenset[Phase] = frozenset(
    {"measuring", "comparing", "teacher_targets", "stage_0", "stage_1", "stage_2", "trying"}
)
"""The phases whose pace says how fast this machine runs the network. In others it reads, draws or writes files, or
finds the work done already."""

_PRIOR = 0.05
"""The share of a phase after which its measured pace counts as much as its expected one."""

_PRIOR_OF_RUN = 0.01
"""The share of the run after which the measured pace of the network counts as much as the expected one."""

_LEAST_LEFT = 0.005
"""The share of a phase that is left for as long as it runs: its work is an estimate."""


class TimeLeft:
    """Estimates the seconds left of a run.

    A phase that has not begun takes its expected seconds, times the factor by which the phases before it were slower
    than expected. `expect` replaces them by a better prediction. The phase that runs continues at the pace measured so
    far, weighted against the expected one.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._predicted: dict[Phase, float] = {}
        self._phase: Phase | None = None
        self._pace = 0.0
        self._began_at = 0.0
        self._measured_work = 0.0
        weight = _PRIOR_OF_RUN * sum(cost.seconds for cost in plan.values())
        self._taken, self._expected = weight, weight

    def begin(self, phase: Phase, now: float) -> None:
        """Begin a phase of the plan, and end the one before."""
        self._learn(now)
        cost = self._plan[phase]
        self._phase, self._began_at, self._measured_work = phase, now, 0.0
        self._pace = self._seconds_of(phase) / max(cost.work, 1e-9)

    def expect(self, phase: Phase, seconds: float, left: float, now: float) -> None:
        """Set the seconds that `phase` still takes; `left` is the share of its work, in 0..1, that is left."""
        self._predicted[phase] = max(0.0, seconds) / max(left, _LEAST_LEFT)
        if phase == self._phase:
            self.begin(phase, now)

    def add(self, work: float) -> None:
        """Count work that the current phase has done."""
        self._measured_work += work

    def seconds(self, done: float, now: float) -> float:
        """The seconds left of the run, at least 0; `done` is the share of the current phase's work, in 0..1."""
        if self._phase is None:
            return sum(map(self._seconds_of, self._plan))
        phases = list(self._plan)
        later = phases[phases.index(self._phase) + 1 :]
        return self._left_of_current(done, now) + sum(map(self._seconds_of, later))

    def _left_of_current(self, done: float, now: float) -> float:
        assert self._phase is not None, "begun"  # noqa: S101
        work = self._plan[self._phase].work
        prior = max(_PRIOR * work, 1e-9)
        pace = (prior * self._pace + max(0.0, now - self._began_at)) / (prior + self._measured_work)
        return max(1 - done, _LEAST_LEFT) * work * pace

    def _seconds_of(self, phase: Phase) -> float:
        if phase in self._predicted:
            return self._predicted[phase]
        return self._plan[phase].seconds * self._taken / self._expected

    def _learn(self, now: float) -> None:
        """Compare the seconds of the phase that ends with those expected for the work that it did."""
        if self._phase in _BY_NETWORK and self._measured_work:
            assert self._phase is not None, "one of them"  # noqa: S101
            cost = self._plan[self._phase]
            self._taken += max(0.0, now - self._began_at)
            self._expected += cost.seconds * self._measured_work / max(cost.work, 1e-9)
