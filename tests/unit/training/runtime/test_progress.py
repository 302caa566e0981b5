"""The progress of a run: phases by name, at most two reports a second, never falling, and an ETA from plan to end."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.finetune.events import Phase, PhaseStarted, Progressed, TrainingEvent
from worker.training.runtime.control import Control
from worker.training.runtime.progress import Progress, at_work
from worker.training.runtime.time_left import PhaseCost, Plan

PLAN: Plan = {
    "checking": PhaseCost(work=10, seconds=10),
    "measuring": PhaseCost(work=20, seconds=20),
    "stage_1": PhaseCost(work=20, seconds=20),
    "stage_2": PhaseCost(work=100, seconds=100),
    "evaluating": PhaseCost(work=50, seconds=50),
}


class Run:
    """A run by a clock that the test sets."""

    def __init__(self, *, reported: float = 0.0, plan: Plan = PLAN) -> None:
        self.seconds = 0.0
        self.events: list[TrainingEvent] = []
        self.progress = Progress(self.events.append, lambda: self.seconds, reported=reported)
        self.progress.start("checking")
        self.progress.plan(plan)

    @property
    def reports(self) -> list[Progressed]:
        return [event for event in self.events if isinstance(event, Progressed)]

    @property
    def last(self) -> Progressed:
        return self.reports[-1]

    @property
    def eta(self) -> float:
        assert self.last.eta_seconds is not None
        return self.last.eta_seconds

    def work(self, work: float, seconds: float) -> None:
        self.seconds += seconds
        self.progress.advance(work)


def test_at_most_two_a_second_never_falling_and_1_at_the_end() -> None:
    run = Run(plan={"checking": PhaseCost(work=50, seconds=50)})
    for _ in range(100):
        run.work(1, 0.1)
    run.progress.finish()
    reported = [event.progress for event in run.reports]
    assert reported == sorted(reported)
    assert len(reported) <= 22
    assert max(reported[:-1]) < 1.0
    assert run.last == Progressed(1.0, 0.0, None, None, phase="checking", phase_progress=1.0)


def test_a_phase_has_a_name_before_anything_is_known_and_an_eta_once_the_size_is() -> None:
    events: list[TrainingEvent] = []
    progress = Progress(events.append)
    progress.start("checking")
    assert events[0] == PhaseStarted("checking")
    assert events[1] == Progressed(0.0, None, None, None, phase="checking", phase_progress=0.0)
    run = Run()
    run.work(0, 1)
    assert run.eta == pytest.approx(200, abs=25)


def test_the_progress_of_a_phase_is_that_of_its_work_and_the_runs_that_of_the_seconds() -> None:
    run = Run()
    run.progress.start("measuring")
    run.work(5, 1)
    assert run.last.phase == "measuring"
    assert run.last.phase_progress == 0.25
    assert run.last.progress == (10 + 5) / 200
    run.work(100, 1)
    assert run.last.phase_progress == 0.999, "it takes more than was expected"
    run.progress.start("stage_1")
    assert run.last.phase_progress == 0.0
    assert run.last.progress == 30 / 200


def test_the_measured_pace_takes_over_within_a_phase_and_scales_those_that_follow() -> None:
    run = Run()
    run.progress.start("measuring")
    for _ in range(20):
        run.work(1, 3.0)
    run.progress.start("stage_1")
    # A machine three times slower than expected, but for what is weighed against the expectation.
    assert run.eta == pytest.approx(3 * (20 + 100 + 50), rel=0.2)
    run.progress.start("stage_2")
    for _ in range(50):
        run.work(1, 2.0)
    assert run.eta == pytest.approx(50 * 2 + 3 * 50, rel=0.2)


def test_a_prediction_replaces_the_expectation() -> None:
    run = Run()
    run.progress.start("stage_1")
    run.work(10, 10)
    run.progress.expect("stage_1", 5.0)
    run.progress.expect("stage_2", 1000.0)
    run.progress.expect("evaluating", 7.0)
    run.work(0, 0.5)
    assert run.eta == pytest.approx(5 + 1000 + 7, rel=0.05)
    run.progress.start("stage_2")
    for _ in range(100):
        run.work(1, 10.0)
    assert run.eta == pytest.approx(7, abs=6)
    run.progress.start("evaluating")
    assert run.eta == pytest.approx(7)


def test_what_early_stopping_leaves_out_is_done() -> None:
    run = Run()
    run.progress.start("stage_2")
    run.progress.start_epoch(2, 3, 10)
    run.work(10, 10)
    assert run.last.progress == (50 + 30) / 200
    run.progress.start("evaluating")
    assert run.last.progress == 150 / 200
    assert 0 < run.eta < 75


def test_going_back_is_not_reported_and_steps_are_counted() -> None:
    run = Run(reported=0.3)

    def step() -> None:
        run.seconds += 1
        run.progress.advance(1, steps=1)

    step()
    run.progress.start("stage_2", done=0.5)
    run.progress.start_epoch(2, 6, epochs=10, step=7, steps=10, steps_done=27)
    step()
    run.progress.start("stage_2", done=0.1)  # a rollback
    run.progress.start_epoch(2, 2, epochs=10, step=0, steps=10, steps_done=10)
    step()
    assert [event.progress for event in run.reports] == sorted(event.progress for event in run.reports)
    assert run.last.progress == (50 + 58) / 200
    assert run.progress.share == (50 + 11) / 200
    assert (run.last.epoch, run.last.step, run.last.steps_done) == (2, 1, 11)
    assert sum(event == PhaseStarted("stage_2") for event in run.events) == 1


def test_a_resumed_run_counts_what_it_has_left() -> None:
    run = Run(reported=0.6)
    run.progress.start("stage_2", done=0.8)
    assert run.eta == pytest.approx(20 + 50)


def test_long_work_that_only_says_that_it_goes_on_is_reported() -> None:
    run, said = Run(), list[None]()
    control = at_work(Control(at_work=lambda: said.append(None)), run.progress)
    before = len(run.reports)
    for _ in range(4):
        run.seconds += 1
        control.refuse_if_stopped()
    assert len(run.reports) == before + 4
    assert len(said) == 4


Steps = Sequence[tuple[float, float]]
phases: list[Phase] = [*PLAN, "writing"]
durations = st.floats(0.0, 1e4)
works = st.floats(0.0, 1e4)


@given(
    plan=st.fixed_dictionaries({phase: st.builds(PhaseCost, works, st.floats(0.01, 1e4)) for phase in PLAN}),
    steps=st.lists(st.lists(st.tuples(works, durations), max_size=6), min_size=len(phases), max_size=len(phases)),
    predicted=st.dictionaries(st.sampled_from(phases), durations),
    reported=st.floats(0.0, 0.99),
)
def test_once_a_number_always_a_number_and_never_below_0(
    plan: Plan, steps: Sequence[Steps], predicted: dict[Phase, float], reported: float
) -> None:
    run = Run(plan=plan, reported=reported)
    for phase, of_phase in zip(phases, steps, strict=True):
        run.progress.start(phase)
        for work, seconds in of_phase:
            run.work(work, seconds)
        for which, seconds in predicted.items():
            run.progress.expect(which, seconds)
    run.progress.finish()
    etas = [event.eta_seconds for event in run.reports[1:]]
    assert all(eta is not None and 0 <= eta < float("inf") for eta in etas)
    shares = [event.progress for event in run.reports]
    assert shares == sorted(shares)
    assert reported <= shares[0]
    assert shares[-1] == 1.0
    assert all(event.phase_progress is not None and 0 <= event.phase_progress <= 1 for event in run.reports)
