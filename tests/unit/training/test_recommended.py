"""A training by the recommended recipe: broken anywhere and gone on with, divided among lanes or for want of memory, it
is the same; and it says what it lacks."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.drawn_faces import draw_face
from app.finetune.config import FACE_SIZE, FACES_OF_EACH
from app.finetune.dataset_errors import TrainHrMissing
from app.finetune.errors import InputsChanged
from app.finetune.events import (
    BatchSplit,
    DryRunFinished,
    DurationPredicted,
    EpochFinished,
    Finished,
    Prepared,
    StateSaved,
    Stopped,
    TrainingEvent,
    Warned,
)
from worker.training.estimation.dry_run import dry_run
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.runtime.control import Control

from .support import run, run_unpredicted, tiny_config, write_training
from .test_resume import Unbroken, break_at, go, lasting, resumed, stop_at, told_until_saved

# Epochs of three steps; views of every kind.
CONFIG: dict[str, object] = {
    "recipe": "recommended",
    "stage1_epochs": 0,
    "stage2_epochs": 3,
    "val_interval": 2,
    "batch_size": 6,
    "synthetic_identities": 3,
    "vlr_share": 0.3,
    "seed": 7,
}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    files = write_training(tmp_path_factory.mktemp("unbroken"))
    return Unbroken(files, run(files, **CONFIG)[1])


def of_type(events: list[TrainingEvent], kind: type) -> list[TrainingEvent]:
    return [event for event in events if isinstance(event, kind)]


def losses(events: list[TrainingEvent]) -> list[float]:
    return [event.train_loss for event in events if isinstance(event, EpochFinished)]


def test_it_learns_without_stage_1_and_keeps_its_last_epoch(unbroken: Unbroken) -> None:
    epochs = [event for event in unbroken.events if isinstance(event, EpochFinished)]
    assert [(epoch.stage, epoch.best) for epoch in epochs] == [(2, False), (2, True), (2, True)]
    (prepared,) = (event for event in unbroken.events if isinstance(event, Prepared))
    assert prepared.selection == "last_epoch"
    last = unbroken.events[-1]
    assert isinstance(last, Finished)
    assert last.best_epoch == 3
    warned = {event.warning.code for event in unbroken.events if isinstance(event, Warned)}
    assert "val_chose_the_epoch" not in warned
    told = [event for event in unbroken.events if isinstance(event, DurationPredicted)]
    assert len(told) == 1


def test_broken_anywhere_it_is_the_same_to_the_last_bit(unbroken: Unbroken, tmp_path: Path) -> None:
    draws = random.Random(1)
    files, standing, attempt = replace(unbroken.files, output_dir=tmp_path / "attempt-0"), list[TrainingEvent](), 0
    while True:
        control = Control(save_every_seconds=draws.choice([0, 1000]))
        events = go(files, control, break_at(draws.randint(4, 7)), CONFIG)
        if isinstance(events[-1], Finished):
            break
        if of_type(events, StateSaved):
            told, saved = told_until_saved(events)
            standing += told
            attempt += 1
            files = resumed(files, saved, attempt)
    assert attempt >= 2
    assert lasting(standing + events) == lasting(unbroken.events)


def test_stopped_inside_an_epoch_of_views_it_is_the_same(unbroken: Unbroken, tmp_path: Path) -> None:
    """Though nothing that was prepared is still there."""
    control, files = Control(save_every_seconds=0), replace(unbroken.files, output_dir=tmp_path / "attempt-0")
    stopped = go(files, control, stop_at(4, control), CONFIG)
    assert stopped[-1] == Stopped()
    told, saved = told_until_saved(stopped)
    assert (saved.epoch, saved.step) == (1, 1)
    again = replace(resumed(files, saved, 1), prepared_dir=tmp_path / "prepared again")
    assert lasting(told + go(again, config=CONFIG)) == lasting(unbroken.events)


def test_with_stage_1_the_head_learns_first_and_a_stop_there_changes_nothing(tmp_path: Path) -> None:
    config = {**CONFIG, "stage1_epochs": 2, "stage2_epochs": 1}
    files = write_training(tmp_path)
    _, events = run(files, **config)
    assert [event.stage for event in events if isinstance(event, EpochFinished)] == [1, 1, 2]
    control = Control(save_every_seconds=0)
    again = replace(files, output_dir=tmp_path / "attempt-0")
    told, saved = told_until_saved(go(again, control, stop_at(4, control), config))
    assert (saved.stage, saved.step) == (1, 1)
    assert lasting(told + go(resumed(again, saved, 1), config=config)) == lasting(events)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_lanes_and_parts_of_batches_change_nothing_that_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = {**CONFIG, "batch_size": 16, "stage2_epochs": 2}
    files = write_training(tmp_path)
    _, in_lanes = run_unpredicted(files, **wide)
    torch.set_num_threads(1)
    _, alone = run_unpredicted(replace(files, output_dir=tmp_path / "alone"), **wide)
    forward = EdgeFace.forward

    def limited(backbone: EdgeFace, x_BCHW: torch.Tensor, products_in: torch.dtype | None = None) -> torch.Tensor:
        if backbone.training and len(x_BCHW) > 4:
            raise torch.OutOfMemoryError
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", limited)
    _, in_parts = run_unpredicted(replace(files, output_dir=tmp_path / "parts"), **wide)
    assert of_type(in_parts, BatchSplit)
    assert losses(in_lanes) == pytest.approx(losses(alone), rel=1e-4)
    assert losses(in_parts) == pytest.approx(losses(alone), rel=1e-4)


def test_the_checkpoint_has_a_head_that_knows_the_train_set(unbroken: Unbroken) -> None:
    """It begins as what the untouched backbone sees in each subject's HR images, and learns."""
    last = [event for event in unbroken.events if isinstance(event, StateSaved)][-1]
    assert last.best is not None
    content = torch.load(last.best.full.path, weights_only=True)
    head = torch.nn.functional.normalize(content["arcface_state_dict"]["weight"])
    assert sorted(content["subject_to_id"]) == ["000", "001", "002", "003"]
    backbone = load_edgeface(unbroken.files.edgeface)[0].eval()
    from worker.training.data.preprocess import decode, enlarge_bicubic
    from worker.training.models.embedding import embed

    paths = sorted((unbroken.files.train_dir / "hr_images").iterdir())
    hr_u8 = torch.stack([torch.from_numpy(decode(path).copy()).permute(2, 0, 1) for path in paths])
    e = embed(backbone, enlarge_bicubic(hr_u8), torch.device("cpu"))
    means = torch.nn.functional.normalize(e.view(4, 4, -1).sum(1))
    similarity = head @ means.T
    assert similarity.argmax(1).tolist() == [0, 1, 2, 3]
    assert 0.9 < float(similarity.diag().min()) < 1 - 1e-6
    people = torch.load(last.file.path, weights_only=True)["people"]
    assert torch.equal(content["arcface_state_dict"]["weight"], people[3:]), "who learn beside the three invented"


def test_invented_faces_are_made_once(unbroken: Unbroken, tmp_path: Path) -> None:
    faces = 3 * FACES_OF_EACH
    sizes = sorted(path.stat().st_size for path in unbroken.files.prepared_dir.glob("*.npy"))
    assert sizes[-1] >= faces * 3 * FACE_SIZE**2
    before = {path: path.read_bytes() for path in unbroken.files.prepared_dir.glob("*.npy")}
    shutil.copytree(unbroken.files.prepared_dir, tmp_path / "prepared")
    _, events = run(replace(unbroken.files, output_dir=tmp_path / "o", prepared_dir=tmp_path / "prepared"), **CONFIG)
    assert losses(events) == losses(unbroken.events)
    assert {path.name: path.read_bytes() for path in (tmp_path / "prepared").glob("*.npy")} == {
        path.name: content for path, content in before.items()
    }


def test_a_rehearsal_counts_what_is_invented_and_leaves_nothing(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    told = dry_run(tiny_config(**{**CONFIG, "synthetic_identities": 20}), files, lambda _: None)
    assert isinstance(told, DryRunFinished)
    assert told.prepared_bytes == (16 + 16 + 8 + 8 + 20 * FACES_OF_EACH) * 3 * FACE_SIZE**2
    assert told.seconds_by_part["stage2"] > told.seconds_by_part["stage1"] == 0
    assert not files.prepared_dir.exists()


def test_faces_without_an_hr_image_are_named(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    for name in ("001_02.png", "003_00.png"):
        (files.train_dir / "hr_images" / name).unlink()
    with pytest.raises(TrainHrMissing) as missing:
        run(files, **CONFIG)
    assert missing.value.message.endswith("train/hr_images; 2 have none (001_02.png, 003_00.png)")
    assert not files.prepared_dir.exists(), "before any image is prepared"
    shutil.rmtree(files.train_dir / "hr_images")
    with pytest.raises(TrainHrMissing, match=r"16 VLR images, with the same name in .*hr_images; none has one"):
        run(files, **CONFIG)
    run(files)  # the guide's recipe needs none


def test_hr_images_that_changed_are_named(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    _, saved = told_until_saved(go(files, after=break_at(5), config=CONFIG))
    draw_face(9, 9).save(files.train_dir / "hr_images" / "001_02.png")
    with pytest.raises(InputsChanged, match=r"^train's HR images changed since"):
        go(resumed(files, saved, 1), config=CONFIG)
