"""Progress never falls, comes at most twice a second, and promises an end only when it can."""

from worker.training.events import Progressed, TrainingEvent
from worker.training.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def told(events: list[TrainingEvent]) -> list[Progressed]:
    return [event for event in events if isinstance(event, Progressed)]


def test_at_most_two_a_second_never_falling_and_1_at_the_end() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(50, events.append, clock)
    for _ in range(100):
        clock.seconds += 0.1
        progress.advance(1)
    progress.finish()
    reported = [event.progress for event in told(events)]
    assert reported == sorted(reported)
    assert len(reported) <= 21
    assert max(reported[:-1]) <= 1.0
    assert told(events)[-1] == Progressed(1.0, 0.0, None, None)


def test_the_eta_waits_for_two_epochs_alike() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(1000, events.append, clock)
    etas = []
    for epoch, seconds in enumerate([20.0, 10.0, 11.0, 11.0], start=1):
        progress.start_epoch(2, epoch, epochs=10)
        clock.seconds += 1
        progress.advance(1)
        etas.append(told(events)[-1].eta_seconds)
        clock.seconds += seconds - 1
        progress.finish_epoch()
    assert etas == [None, None, None, 7 * 11.0 - 1]
    assert told(events)[-1].stage == 2
    assert told(events)[-1].epoch == 4


def test_stage_1_says_nothing_of_stage_2() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(1000, events.append, clock)
    for epoch in range(1, 6):
        progress.start_epoch(1, epoch, epochs=5)
        clock.seconds += 1
        progress.advance(1)
        progress.finish_epoch()
    assert {event.eta_seconds for event in told(events)} == {None}


def test_going_back_is_not_told_and_steps_are_counted() -> None:
    clock, events = Clock(), list[TrainingEvent]()
    progress = Progress(100, events.append, clock, told=0.3)

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
    assert [event.progress for event in told(events)] == [0.3, 0.5, 0.5]
    assert [(event.epoch, event.step, event.steps_done) for event in told(events)][1:] == [(3, 8, 28), (2, 1, 11)]
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
    assert [event.eta_seconds for event in told(events)] == [None, None, None, 10.0 - 1]
