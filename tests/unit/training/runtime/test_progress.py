"""Progress never falls, comes at most twice a second, and promises an end only when it can."""

import pytest

from app.finetune.events import Progressed, TrainingEvent
from worker.training.runtime.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def progressed(events: list[TrainingEvent]) -> list[Progressed]:
    return [event for event in events if isinstance(event, Progressed)]


def test_at_most_two_a_second_never_falling_and_1_at_the_end() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(50, events.append, clock)
    for _ in range(100):
        clock.seconds += 0.1
        progress.advance(1)
    progress.finish()
    reported = [event.progress for event in progressed(events)]
    assert reported == sorted(reported)
    assert len(reported) <= 21
    assert max(reported[:-1]) <= 1.0
    assert progressed(events)[-1] == Progressed(1.0, 0.0, None, None)


def test_the_eta_waits_for_two_epochs_alike() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(1000, events.append, clock)
    etas = []
    for epoch, seconds in enumerate([20.0, 10.0, 11.0, 11.0], start=1):
        progress.start_epoch(2, epoch, epochs=10)
        clock.seconds += 1
        progress.advance(1)
        etas.append(progressed(events)[-1].eta_seconds)
        clock.seconds += seconds - 1
        progress.finish_epoch()
    assert etas == [None, None, None, 7 * 11.0 - 1]
    assert progressed(events)[-1].stage == 2
    assert progressed(events)[-1].epoch == 4


def epochs_of_ten_seconds(progress: Progress, clock: Clock, epochs: int, work: float) -> None:
    """Epochs of stage 2 so far, of ten."""
    for epoch in range(1, epochs + 1):
        progress.start_epoch(2, epoch, epochs=10)
        clock.seconds += 10
        progress.advance(work)
        progress.finish_epoch()


def test_neither_progress_nor_eta_are_at_their_end_before_the_evaluation_is() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(100 + 40, events.append, clock, work_after=40)
    progress.expect_after(200)
    epochs_of_ten_seconds(progress, clock, 3, work=10)
    assert progressed(events)[-1].eta_seconds == 10 * (10 - 2) - 10 + 200
    # It stops early: what it leaves out is done too.
    progress.finish_training()
    for seconds, work in ((100, 10), (100, 10), (300, 20)):
        clock.seconds += seconds
        progress.advance(work)
    after = progressed(events)[-3:]
    assert [event.progress for event in after] == pytest.approx([110 / 140, 120 / 140, 0.999])
    # By the clock 100 s are left and then none, but half of the work is.
    assert [event.eta_seconds for event in after] == pytest.approx([150, 100, 0.2])
    progress.finish()
    assert progressed(events)[-1].progress == 1.0


def test_what_comes_after_is_guessed_by_its_work_where_nothing_was_measured() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(100 + 40, events.append, clock, work_after=40)
    epochs_of_ten_seconds(progress, clock, 3, work=10)
    assert progressed(events)[-1].eta_seconds == 10 * (10 - 2) - 10 + 40


def test_stage_1_says_nothing_of_stage_2() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(1000, events.append, clock)
    for epoch in range(1, 6):
        progress.start_epoch(1, epoch, epochs=5)
        clock.seconds += 1
        progress.advance(1)
        progress.finish_epoch()
    assert {event.eta_seconds for event in progressed(events)} == {None}


def test_going_back_is_not_reported_and_steps_are_counted() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(100, events.append, clock, reported=0.3)

    def advance(work: float) -> None:
        clock.seconds += 1
        progress.advance(work, steps=1)

    advance(10)
    progress.go_back(40)
    progress.start_epoch(2, 3, epochs=5, step=7, steps_done=27)
    advance(10)
    progress.go_back(20)
    progress.start_epoch(2, 2, epochs=5, step=0, steps_done=10)
    advance(10)
    assert [event.progress for event in progressed(events)] == [0.3, 0.5, 0.5]
    assert [(event.epoch, event.step, event.steps_done) for event in progressed(events)][1:] == [(3, 8, 28), (2, 1, 11)]
    assert progress.share == 0.3


def test_a_resumed_epoch_does_not_count_for_the_eta() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(1000, events.append, clock)
    for epoch, step in ((7, 5), (8, 0), (9, 0), (10, 0)):
        progress.start_epoch(2, epoch, epochs=10, step=step)
        clock.seconds += 1
        progress.advance(1)
        clock.seconds += 9
        progress.finish_epoch()
    assert [event.eta_seconds for event in progressed(events)] == [None, None, None, 10.0 - 1]
