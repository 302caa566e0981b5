"""What a GPU computes counts in the readings of the clock, although it computes it later."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.finetune.events import DryRunFinished, DurationPredicted, EpochFinished, TrainingEvent
from tests.pretended_gpu import PretendedGpu, pretended_gpu
from tests.unit.training.support import run, run_unpredicted, tiny_config, write_training
from worker.training.estimation.dry_run import dry_run
from worker.training.storage.paths import TrainingFiles

pytestmark = pytest.mark.slow

SECONDS_OF_A_KERNEL = 1e-6
CONTEXT_BYTES = 2**29


@contextmanager
def clock_of(gpu: PretendedGpu, *, sees_everything: bool) -> Iterator[None]:
    """A clock that only kernels move. A real one moves when the host waits for them; with `sees_everything` it moves
    when they are launched, and needs no wait."""
    waited_for, note_wait = 0, gpu.note_wait

    def launched() -> int:
        return sum(gpu.operations.values())

    def wait(reason: str) -> None:
        nonlocal waited_for
        note_wait(reason)
        waited_for = launched()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "note_wait", wait)
        patch.setattr(time, "monotonic", lambda: SECONDS_OF_A_KERNEL * (launched() if sees_everything else waited_for))
        yield


def read_by_both_clocks(
    folder: Path, work: Callable[[TrainingFiles], list[TrainingEvent]]
) -> tuple[list[TrainingEvent], list[TrainingEvent]]:
    """The events of `work` by the real clock, with CUDA's context in memory, and by the one that sees everything."""
    events = []
    for sees_everything in (False, True):
        files = write_training(folder / str(sees_everything))
        context_bytes = 0 if sees_everything else CONTEXT_BYTES
        with pretended_gpu(context_bytes=context_bytes) as gpu, clock_of(gpu, sees_everything=sees_everything):
            events.append(work(files))
    return events[0], events[1]


@pytest.mark.parametrize("stage1_epochs", [0, 1])
def test_the_seconds_of_epochs_and_of_the_prediction_are_those_of_the_kernels(
    stage1_epochs: int, tmp_path: Path
) -> None:
    def timed(files: TrainingFiles) -> list[TrainingEvent]:
        _, events = run(files, device="cuda", batch_size=4, stage1_epochs=stage1_epochs)
        return [event for event in events if isinstance(event, EpochFinished | DurationPredicted)]

    by_real, by_ideal = read_by_both_clocks(tmp_path, timed)
    assert len(by_ideal) == stage1_epochs + 2 + 1
    for real, ideal in zip(by_real, by_ideal, strict=True):
        if isinstance(real, EpochFinished):
            assert isinstance(ideal, EpochFinished)
            assert real.seconds == pytest.approx(ideal.seconds)
            assert real.images_per_second == pytest.approx(ideal.images_per_second)
        else:
            assert isinstance(real, DurationPredicted)
            assert isinstance(ideal, DurationPredicted)
            assert real.seconds_left.likely == pytest.approx(ideal.seconds_left.likely)


def test_a_dry_run_counts_the_kernels_and_the_context_of_cuda(tmp_path: Path) -> None:
    def estimated(files: TrainingFiles) -> list[TrainingEvent]:
        return [dry_run(tiny_config(device="cuda"), files, lambda _: None)]

    (real,), (ideal,) = read_by_both_clocks(tmp_path, estimated)
    assert isinstance(real, DryRunFinished)
    assert isinstance(ideal, DryRunFinished)
    assert real.seconds_by_part == pytest.approx(ideal.seconds_by_part)
    assert real.device_bytes is not None
    assert ideal.device_bytes is not None
    assert real.device_bytes - ideal.device_bytes == CONTEXT_BYTES


def test_no_step_waits_for_the_gpu(tmp_path: Path) -> None:
    waits = []
    for batch_size in (2, 8):
        files = write_training(tmp_path / str(batch_size))
        with pretended_gpu() as gpu:
            run_unpredicted(files, device="cuda", batch_size=batch_size)
        waits.append({line: count for line, count in gpu.waits.items() if line.startswith("synchronize")})
    assert waits[0] == waits[1]
    assert waits[0]
