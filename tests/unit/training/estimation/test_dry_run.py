"""A dry run estimates what a training will take, and leaves nothing behind."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from app.finetune.config import FACE_SIZE
from app.finetune.errors import EdgefaceError, UnreadableImages
from app.finetune.events import Checkpoint, DryRunFinished, PhaseStarted, Progressed, StateSaved, Stopped, TrainingEvent
from tests.unit.training.support import run, tiny_config, write_drawn_split, write_training
from worker.training.estimation.dry_run import dry_run
from worker.training.objectives.classifier import CosineClassifier
from worker.training.runtime.control import Control
from worker.training.storage.paths import TrainingFiles

FACE_BYTES = 3 * FACE_SIZE**2


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


def estimated(files: TrainingFiles, **changes: object) -> DryRunFinished:
    events: list[TrainingEvent] = []
    last = dry_run(tiny_config(**changes), files, events.append)
    assert isinstance(last, DryRunFinished)
    assert [event for event in events if not isinstance(event, Progressed | PhaseStarted)] == [last]
    return last


def everything_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_dry_run_leaves_no_file_and_changes_none(files: TrainingFiles, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in everything_in(tmp_path)}
    estimated(files)
    assert {path: path.read_bytes() for path in everything_in(tmp_path)} == before
    assert not files.output_dir.exists() or not any(files.output_dir.iterdir())


def test_it_estimates_the_bytes_that_the_training_then_writes(files: TrainingFiles, tmp_path: Path) -> None:
    estimate = estimated(files)
    assert estimate.images_enlarged == 16 + 8 + 8
    assert estimate.prepared_bytes == estimate.images_enlarged * FACE_BYTES
    _, events = run(replace(files, output_dir=tmp_path / "real"))
    states = [event.file.size for event in events if isinstance(event, StateSaved)]
    checkpoints = [sum(file.size for file in e.files) for e in events if isinstance(e, Checkpoint)]
    assert estimate.state_bytes == pytest.approx(3 * max(states), rel=0.01)
    assert estimate.checkpoint_bytes == pytest.approx(checkpoints[0], rel=0.01)
    assert estimate.device_bytes is None
    assert estimate.process_bytes > 50e6


def test_the_seconds_are_a_range_and_add_up(files: TrainingFiles) -> None:
    estimate = estimated(files, stage1_epochs=3, stage2_epochs=4)
    assert 0 < estimate.seconds.low < estimate.seconds.likely < estimate.seconds.high
    assert sum(estimate.seconds_by_part.values()) == pytest.approx(estimate.seconds.likely)
    assert min(estimate.seconds_by_part.values()) > 0
    assert (estimate.stage1_epochs, estimate.stage2_epochs, estimate.device) == (3, 4, "cpu")
    assert estimated(files, stage1_epochs=0).seconds_by_part["stage1"] == 0


def test_more_epochs_take_longer(files: TrainingFiles) -> None:
    few, many = estimated(files, stage2_epochs=1), estimated(files, stage2_epochs=100)
    assert many.seconds.low > 5 * few.seconds_by_part["stage2"]


def test_faces_that_are_prepared_are_not_prepared_again(files: TrainingFiles, tmp_path: Path) -> None:
    run(replace(files, output_dir=tmp_path / "real"))
    kept = {path: path.read_bytes() for path in files.prepared_dir.iterdir()}
    estimate = estimated(files)
    assert (estimate.images_enlarged, estimate.prepared_bytes) == (0, 0)
    assert {path: path.read_bytes() for path in files.prepared_dir.iterdir()} == kept


def test_of_many_images_a_few_are_decoded(files: TrainingFiles) -> None:
    shutil.rmtree(files.train_dir)
    write_drawn_split(files.train_dir, range(4), range(30))
    (files.train_dir / "vlr_images" / "000_02.png").write_text("not one of the few")
    estimate = estimated(files)
    assert estimate.images_enlarged == 64 + 8 + 8
    assert estimate.prepared_bytes == (120 + 8 + 8) * FACE_BYTES


def test_asked_to_stop_it_stops(files: TrainingFiles) -> None:
    control = Control()
    control.stop.set()
    events: list[TrainingEvent] = []
    assert dry_run(tiny_config(), files, events.append, control) == Stopped()
    assert not isinstance(events[-2], DryRunFinished)
    assert events[-1] == Stopped()


@pytest.mark.parametrize("stage1_epochs", [1, 0])
def test_asked_to_stop_in_a_step_it_leaves_no_state(files: TrainingFiles, stage1_epochs: int) -> None:
    control = Control()

    def stop(module: nn.Module, _: object, __: object) -> None:
        if isinstance(module, CosineClassifier):
            control.stop.set()

    hook = register_module_forward_hook(stop)
    try:
        last = dry_run(tiny_config(stage1_epochs=stage1_epochs), files, lambda _: None, control)
    finally:
        hook.remove()
    assert last == Stopped()
    assert everything_in(files.output_dir) == []


def test_what_the_training_would_refuse_it_refuses(files: TrainingFiles) -> None:
    (files.train_dir / "vlr_images" / "000_00.png").write_text("no image")
    with pytest.raises(UnreadableImages, match=r"000_00\.png"):
        estimated(files)
    with pytest.raises(EdgefaceError, match="cuda:7"):
        estimated(files, device="cuda:7")
