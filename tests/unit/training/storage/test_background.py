import threading
from pathlib import Path

import pytest

from app.finetune.dataset import JobWarning
from app.finetune.events import TrainingEvent, Warned
from app.finetune.training_errors import DiskFull
from worker.training.storage.background import BackgroundWriter


def _event(number: int) -> Warned:
    return Warned(JobWarning(code="a", message=str(number)))


def test_nothing_is_reported_before_it_is_written_and_all_in_order() -> None:
    reported: list[TrainingEvent] = []
    on_disk = [threading.Event(), threading.Event()]
    threads = set[int]()

    def report(event: TrainingEvent) -> None:
        threads.add(threading.get_ident())
        reported.append(event)

    def write(number: int) -> list[TrainingEvent]:
        on_disk[number].wait()
        return [_event(10 * number), _event(10 * number + 1)]

    writer = BackgroundWriter(report)
    writer.start(lambda: write(0))
    writer.report_if_done()
    assert reported == []
    on_disk[0].set()
    writer.start(lambda: write(1))
    assert reported == [_event(0), _event(1)]
    on_disk[1].set()
    writer.join()
    assert reported == [_event(0), _event(1), _event(10), _event(11)]
    assert threads == {threading.get_ident()}


def test_what_a_writing_raises_is_raised_where_the_training_joins_it(tmp_path: Path) -> None:
    def write() -> list[TrainingEvent]:
        raise DiskFull(tmp_path)

    writer = BackgroundWriter(lambda _: None)
    writer.start(write)
    with pytest.raises(DiskFull):
        writer.join()
    writer.join()
