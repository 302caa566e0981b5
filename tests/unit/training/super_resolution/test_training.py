"""A whole DSR training: what it tells and writes, that it repeats and goes on bit for bit, what ends it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from app.finetune.dataset_errors import NothingToCompare
from app.finetune.errors import InputsChanged, PersonUnderTwoNames, PhotoCopied
from app.finetune.events import (
    DsrEpochFinished,
    EnlargementMeasured,
    Prepared,
    Progressed,
    StageStarted,
    StateSaved,
    Stopped,
    TrainingEvent,
    Warned,
)
from app.finetune.training_errors import DsrLossNotFinite
from app.finetune.weights_errors import WeightsUnreadable
from tests.unit.training.super_resolution.support import (
    IMAGES,
    SUBJECTS,
    checkpoints_of,
    files_in,
    finished,
    newest_state,
    real_faces,
    run,
    tiny_config,
    write_faces,
)
from worker.cli.dsr_train import dsr_train
from worker.training.models.dsr import load_dsr
from worker.training.runtime.control import Control
from worker.training.storage.paths import ResumeFrom, TrainingFiles
from worker.training.super_resolution.initialise import new_dsr

assert real_faces


@pytest.fixture
def weights(shared_assets: Path) -> Path:
    return shared_assets / "weights" / "edgeface_xxs.pt"


@pytest.fixture
def files(real_faces: Path, weights: Path, tmp_path: Path) -> TrainingFiles:
    return files_in(real_faces, weights, tmp_path / "output")


def best_of(events: list[TrainingEvent]) -> bytes:
    return checkpoints_of(events)[-1].full.path.read_bytes()


def epochs_of(events: list[TrainingEvent]) -> list[DsrEpochFinished]:
    """But for what the clock says."""
    epochs = [event for event in events if isinstance(event, DsrEpochFinished)]
    return [epoch.model_copy(update={"seconds": 0.0, "images_per_second": 0.0}) for epoch in epochs]


def test_a_training_tells_what_it_measures_and_writes_the_network(files: TrainingFiles) -> None:
    last, events = finished(tiny_config(), files)
    images = IMAGES * len(SUBJECTS["train"])
    (prepared,) = (event for event in events if isinstance(event, Prepared))
    assert (prepared.train_images, prepared.val_images, prepared.subjects) == (images, images, 3)
    assert [event.by for event in events if isinstance(event, EnlargementMeasured)] == ["direct", "bicubic", "dsr"]
    epochs = epochs_of(events)
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    for epoch in epochs:
        config = tiny_config()
        total = (
            config.pixel_weight * epoch.train_pixel_loss
            + config.perceptual_weight * epoch.train_perceptual_loss
            + config.identity_weight * epoch.train_identity_loss
        )
        assert epoch.train_loss == pytest.approx(total, rel=1e-5)
        assert 10 < epoch.val_psnr < 50
        assert 0 < epoch.val_ssim < 1
        assert epoch.val_auc is not None
    best = max(epochs, key=lambda epoch: (epoch.val_auc or 0, -epoch.epoch))
    assert last.best_epoch == best.epoch
    assert checkpoints_of(events)[-1].score == best.val_auc
    assert [epoch.epoch for epoch in epochs if epoch.best][-1] == best.epoch
    assert load_dsr(checkpoints_of(events)[-1].full.path).layout == tiny_config().layout
    assert "At 12 px" in last.verdict
    assert "At 16 px" in last.verdict
    shown = [event.progress for event in events if isinstance(event, Progressed)]
    assert shown == sorted(shown)
    assert shown[-1] == 1.0


def test_a_training_repeats_bit_for_bit_and_another_seed_does_not(files: TrainingFiles, tmp_path: Path) -> None:
    _, first = finished(tiny_config(), files)
    _, again = finished(tiny_config(), replace(files, output_dir=tmp_path / "again"))
    _, other = finished(tiny_config(seed=1), replace(files, output_dir=tmp_path / "other"))
    assert best_of(first) == best_of(again)
    assert epochs_of(first) == epochs_of(again)
    assert best_of(first) != best_of(other)


@pytest.mark.parametrize("steps", [0, 1, 3, 4])
def test_a_stopped_training_goes_on_bit_for_bit(files: TrainingFiles, tmp_path: Path, steps: int) -> None:
    """Before the first step, inside an epoch, at its end and inside the next: an epoch has three steps."""
    _, whole = finished(tiny_config(), files)
    control = Control(save_every_seconds=0.0)

    def stop(event: TrainingEvent) -> None:
        if isinstance(event, StateSaved) and event.steps_done >= steps:
            control.stop.set()

    halted = replace(files, output_dir=tmp_path / "halted")
    last, before = run(tiny_config(), halted, control, stop)
    assert isinstance(last, Stopped)
    state = newest_state(before)
    assert state.steps_done in (steps, steps + 1)
    resume = ResumeFrom(state.file.path, state.best)
    _, after = finished(tiny_config(), replace(files, output_dir=tmp_path / "after", resume=resume))
    assert best_of([*before, *after]) == best_of(whole)
    assert epochs_of([*before, *after]) == epochs_of(whole)
    assert sum(isinstance(event, StageStarted) for event in [*before, *after]) == 1


def test_other_faces_or_weights_are_no_place_to_go_on(
    shared_assets: Path, weights: Path, files: TrainingFiles, tmp_path: Path
) -> None:
    faces = write_faces(shared_assets, tmp_path / "faces")
    _, events = finished(tiny_config(epochs=1), files_in(faces, weights, tmp_path / "first"))
    state = newest_state(events)
    next((faces / "train_processed" / "hr_images").iterdir()).unlink()
    resumed = files_in(faces, weights, tmp_path / "second", ResumeFrom(state.file.path, state.best))
    with pytest.raises(InputsChanged, match="train's HR images"):
        run(tiny_config(epochs=1), resumed)
    with pytest.raises(WeightsUnreadable, match="no training state of format dsr-training-1"):
        run(tiny_config(), replace(files, resume=ResumeFrom(weights, None)))


def test_a_network_goes_on_from_a_file(files: TrainingFiles, tmp_path: Path) -> None:
    _, events = finished(tiny_config(epochs=1), files)
    begun = checkpoints_of(events)[-1].full.path
    config = tiny_config(epochs=1, dsr="dsr.pth", channels=None, blocks=None, factors=None)
    further = replace(files, dsr=begun, output_dir=tmp_path / "further")
    _, more = finished(config, further)
    assert load_dsr(checkpoints_of(more)[-1].full.path).layout == load_dsr(begun).layout
    assert epochs_of(more)[0].train_loss < epochs_of(events)[0].train_loss


def test_a_loss_gone_bad_ends_it_before_any_weight_moves(files: TrainingFiles, tmp_path: Path) -> None:
    huge = new_dsr(tiny_config().layout, seed=0)
    huge.conv_out.weight.data[:] = 1e38
    torch.save(huge.state_dict(), tmp_path / "huge.pth")
    config = tiny_config(dsr="huge.pth", channels=None, blocks=None, factors=None)
    events: list[TrainingEvent] = []
    with pytest.raises(DsrLossNotFinite, match="step 1 of epoch 1"):
        run(config, replace(files, dsr=tmp_path / "huge.pth"), None, events.append)
    assert newest_state(events).steps_done == 0


def test_people_that_cannot_be_compared_are_no_val(shared_assets: Path, weights: Path, tmp_path: Path) -> None:
    faces = write_faces(shared_assets, tmp_path / "faces")
    for path in (faces / "val_processed" / "hr_images").glob("s1[23]*"):
        path.unlink()
    with pytest.raises(NothingToCompare):
        run(tiny_config(), files_in(faces, weights, tmp_path / "output"))


def with_a_brightened_copy(shared_assets: Path, folder: Path) -> tuple[Path, str]:
    """Faces of which train has one of val's, a little brighter and recompressed, and the copy's file name."""
    faces = write_faces(shared_assets, folder)
    original = sorted((faces / "val_processed" / "hr_images").iterdir())[0]
    with Image.open(original) as image:
        brighter = image.convert("RGB").point(lambda value: min(255, round(value * 1.05)))
        brighter.save(faces / "train_processed" / "hr_images" / "s01_copy.jpg", quality=90)
    return faces, "s01_copy.jpg"


def test_an_altered_copy_of_vals_photo_in_train_ends_it_before_faces_are_prepared(
    shared_assets: Path, weights: Path, tmp_path: Path
) -> None:
    faces, copy = with_a_brightened_copy(shared_assets, tmp_path / "faces")
    with pytest.raises(PhotoCopied) as refused:
        run(tiny_config(), files_in(faces, weights, tmp_path / "output"))
    assert refused.value.message.count(copy) == 1
    assert "a photo is in two parts" in refused.value.message
    assert not (tmp_path / "output").exists()
    assert not list((faces / "prepared").glob("*.npy")), "prints alone"


@pytest.mark.parametrize(("allowed", "warned"), [(["s01_copy.jpg", "s99.png"], ["s99.png"]), (["*"], [])])
def test_a_copy_that_is_allowed_stops_nothing_and_a_name_of_none_is_told(
    shared_assets: Path, weights: Path, tmp_path: Path, allowed: list[str], warned: list[str]
) -> None:
    faces, _ = with_a_brightened_copy(shared_assets, tmp_path / "faces")
    config = tiny_config(epochs=1, allowed_leaks=allowed)
    _, events = finished(config, files_in(faces, weights, tmp_path / "output"))
    told = [event.warning for event in events if isinstance(event, Warned)]
    unused = [warning.message for warning in told if warning.code == "allowed_leaks_unused"]
    assert [name for message in unused for name in re.findall(r"s\d+\S*", message)] == warned


def test_a_person_of_val_under_two_names_ends_the_training_unless_allowed(
    shared_assets: Path, weights: Path, tmp_path: Path
) -> None:
    """One of train, s01, may have two: no names are learned."""
    faces = write_faces(shared_assets, tmp_path / "faces")
    for person, half, name in (("s02", "val", "zz"), ("s01", "train", "yy")):
        for source in sorted((shared_assets / "faces/orl_aligned" / person).glob("*.png"))[IMAGES:]:
            with Image.open(source) as image:
                image.convert("RGB").save(faces / f"{half}_processed" / "hr_images" / f"{name}_{source.name}")
    files = files_in(faces, weights, tmp_path / "output")
    with pytest.raises(
        PersonUnderTwoNames, match=r"s02 and zz \(such as s02_01 and zz_04; mean similarity 0\."
    ) as told:
        run(tiny_config(), files)
    assert "yy" not in told.value.message
    assert not (tmp_path / "output").exists()
    _, events = finished(tiny_config(epochs=1, allowed_leaks=["zz=s02"]), files)
    assert {event.warning.code for event in events if isinstance(event, Warned)}.isdisjoint(
        {"allowed_leaks_unused", "names_not_compared"}
    )


def test_the_command_refuses_a_copied_photo(shared_assets: Path, weights: Path, tmp_path: Path) -> None:
    faces, copy = with_a_brightened_copy(shared_assets, tmp_path / "faces")
    config = tiny_config(epochs=1).model_dump(mode="json") | {
        "train_dir": str(faces / "train_processed"),
        "val_dir": str(faces / "val_processed"),
        "edgeface": str(weights),
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    result = CliRunner().invoke(dsr_train, [str(path), "--output-dir", str(tmp_path / "out")])
    assert isinstance(result.exception, PhotoCopied)
    assert copy in result.exception.message


def test_the_command_trains_and_writes_the_network(real_faces: Path, weights: Path, tmp_path: Path) -> None:
    config = tiny_config(epochs=1).model_dump(mode="json") | {
        "train_dir": str(real_faces / "train_processed"),
        "val_dir": str(real_faces / "val_processed"),
        "edgeface": str(weights),
    }
    path, output = tmp_path / "config.json", tmp_path / "out"
    path.write_text(json.dumps(config))
    result = CliRunner().invoke(dsr_train, [str(path), "--output-dir", str(output)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "this DSR: PSNR" in result.output
    assert load_dsr(output / "dsr.pth").layout == tiny_config().layout
    assert torch.load(output / "dsr.pth", weights_only=True).keys() == tiny_config().layout.shapes().keys()
    assert not list(output.glob("state-*"))
