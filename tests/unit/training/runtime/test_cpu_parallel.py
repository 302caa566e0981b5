"""Parts of one computation side by side."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.events import EpochFinished, StateSaved, TrainingEvent
from app.finetune.training_errors import OutOfMemory
from tests.unit.training.support import run, run_unpredicted, tiny_config, write_training
from worker.training.finetune import finetune
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel, parallel_for
from worker.training.runtime.out_of_memory import in_parts_that_fit
from worker.training.storage.paths import ResumeFrom

CPU = torch.device("cpu")
WIDE = {"batch_size": 16, "stage2_epochs": 3, "backbone_lr": 1e-3, "early_stop_patience": 0}


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_as_many_lanes_as_cores_where_the_batch_is_large_enough(threads: int) -> None:
    assert [parallel_for(CPU, batch_size).count for batch_size in (1, 15, 16, 512)] == [1, 1, threads, threads]
    assert parallel_for(torch.device("cuda"), 512).count == 1


def test_the_parts_of_two_lanes_are_computed_at_once_and_come_in_order() -> None:
    both = threading.Barrier(2, timeout=60)

    def compute(part: int) -> tuple[int, int]:
        both.wait()
        return part, torch.get_num_threads()

    assert CpuParallel(2, cores=1).map(compute, [3, 1]) == [(3, 1), (1, 1)]


def test_an_error_is_raised_once_every_part_has_ended() -> None:
    ended = threading.Event()
    failed = threading.Event()

    def compute(part: int) -> None:
        if part == 0:
            failed.set()
            raise MemoryError
        failed.wait(60)
        ended.set()

    with pytest.raises(MemoryError):
        CpuParallel(2).map(compute, [0, 1])
    assert ended.is_set()


def test_parts_that_do_not_fit_are_halved_in_every_lane() -> None:
    tried: list[int] = []

    def compute(part: Tensor) -> Tensor:
        tried.append(len(part))
        if len(part) > 3:
            raise torch.OutOfMemoryError
        return part * 2

    done: list[int] = []
    x_N = torch.arange(17)
    assert torch.equal(in_parts_that_fit(compute, x_N, 64, done.append, CpuParallel(2)), x_N * 2)
    assert max(tried) == 9, "no lane is idle"
    assert sum(done) == 17
    with pytest.raises(OutOfMemory):
        in_parts_that_fit(lambda _: compute(torch.arange(4)), x_N, 64, parallel=CpuParallel(2))


def test_where_one_in_each_lane_does_not_fit_one_alone_may() -> None:
    def compute(part: Tensor) -> Tensor:
        if threading.current_thread() is not threading.main_thread():
            raise torch.OutOfMemoryError
        return part * 2

    x_N = torch.arange(5)
    assert torch.equal(in_parts_that_fit(compute, x_N, 64, parallel=CpuParallel(2)), x_N * 2)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    ("fits", "sizes"),
    [
        (16, [8]),
        (8, [8, 4]),
        pytest.param(3, [8, 4, 2, 1], marks=pytest.mark.slow),
        pytest.param(1, [8, 4, 2, 1], marks=pytest.mark.slow),
    ],
)
def test_what_is_computed_at_once_is_bounded_over_all_lanes(
    fits: int, sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for `fits` faces in training, whoever computes them."""
    files, taken, changed, given = write_training(tmp_path), [0], threading.Lock(), set[int]()
    forward = EdgeFace.forward

    def limited(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        if not backbone.training:
            return forward(backbone, x_BCHW, products_in)
        with changed:
            given.add(len(x_BCHW))
            taken[0] += len(x_BCHW)
            full = taken[0] > fits
        try:
            if full:
                raise torch.OutOfMemoryError
            return forward(backbone, x_BCHW, products_in)
        finally:
            with changed:
                taken[0] -= len(x_BCHW)

    monkeypatch.setattr(EdgeFace, "forward", limited)
    _, events = run_unpredicted(files, **WIDE)
    assert len(epochs(events)) == 4
    assert given <= set(sizes)


@pytest.mark.usefixtures("two_threads")
def test_lanes_change_nothing_that_is_learned(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    _, events = run(files, **WIDE)
    torch.set_num_threads(1)
    _, alone = run(replace(files, output_dir=tmp_path / "alone"), **WIDE)
    for found, expected in zip(epochs(events), epochs(alone), strict=True):
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
        assert found.train_accuracy == pytest.approx(expected.train_accuracy)


@pytest.mark.usefixtures("two_threads")
def test_a_training_in_lanes_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    files, control = write_training(tmp_path), Control()
    _, whole = run(files, **WIDE)
    broken: list[TrainingEvent] = []

    def stop_in_stage_2(event: TrainingEvent) -> None:
        broken.append(event)
        if isinstance(event, EpochFinished) and event.stage == 2:
            control.stop.set()

    finetune(tiny_config(**WIDE), replace(files, output_dir=tmp_path / "broken"), stop_in_stage_2, control)
    saved = [event for event in broken if isinstance(event, StateSaved)][-1]
    resume = ResumeFrom(saved.file.path, saved.best)
    rest: list[TrainingEvent] = []
    finetune(tiny_config(**WIDE), replace(files, output_dir=tmp_path / "rest", resume=resume), rest.append)
    losses = [(event.stage, event.epoch, event.train_loss, event.val_loss) for event in epochs(whole)]
    assert [(e.stage, e.epoch, e.train_loss, e.val_loss) for e in epochs(broken) + epochs(rest)] == losses


def epochs(events: list[TrainingEvent]) -> list[EpochFinished]:
    return [event for event in events if isinstance(event, EpochFinished)]
