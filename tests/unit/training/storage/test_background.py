import threading
from pathlib import Path

import pytest

from app.finetune.dataset import JobWarning
from app.finetune.events import TrainingEvent, Warned
from app.finetune.training_errors import DiskFull
from worker.training.storage.background import BackgroundWriter


def _told(number: int) -> Warned:
    return Warned(JobWarning(code="a", message=str(number)))


def test_nothing_is_told_before_it_is_written_and_all_in_order() -> None:
    told: list[TrainingEvent] = []
    on_disk = [threading.Event(), threading.Event()]
    tellers = set[int]()

    def report(event: TrainingEvent) -> None:
        tellers.add(threading.get_ident())
        told.append(event)

    def write(number: int) -> list[TrainingEvent]:
        on_disk[number].wait()
        return [_told(10 * number), _told(10 * number + 1)]

    beside = BackgroundWriter(report)
    beside.start(lambda: write(0))
    beside.report_if_done()
    assert told == []
    on_disk[0].set()
    beside.start(lambda: write(1))
    assert told == [_told(0), _told(1)]
    on_disk[1].set()
    beside.join()
    assert told == [_told(0), _told(1), _told(10), _told(11)]
    assert tellers == {threading.get_ident()}


def test_what_a_writing_raises_is_raised_where_the_training_joins_it(tmp_path: Path) -> None:
    def write() -> list[TrainingEvent]:
        raise DiskFull(tmp_path)

    beside = BackgroundWriter(lambda _: None)
    beside.start(write)
    with pytest.raises(DiskFull):
        beside.join()
    beside.join()
