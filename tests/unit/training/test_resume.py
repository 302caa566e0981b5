"""A training broken anywhere and gone on with is the training that was never broken, to the last bit."""

import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from app.finetune.errors import InputsChanged
from app.finetune.events import (
    Checkpoint,
    EpochFinished,
    Finished,
    PhaseStarted,
    Prepared,
    Progressed,
    RecognitionMeasured,
    StageStarted,
    StateSaved,
    Stopped,
    StoppedEarly,
    TrainingEvent,
)
from app.finetune.weights_errors import WeightsUnreadable
from worker.training.data.augment import draw
from worker.training.data.val_faces import ValFaces
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.progress import Progress
from worker.training.storage.paths import ResumeFrom, TrainingFiles
from worker.training.validation.validate import ValEmbeddings, embed_val

from .support import run, tiny_config, write_training

# Epochs of three steps, some without validation.
CONFIG = {"stage1_epochs": 2, "stage2_epochs": 3, "val_interval": 2, "backbone_lr": 1e-4, "seed": 7}
STEPS = (2 + 3) * 3

ALWAYS = Control(save_every_seconds=0)
TIMES = {"seconds", "images_per_second"}


class Broken(Exception):
    """As a crash: nothing after it runs."""


@dataclass(frozen=True)
class Unbroken:
    """The events of a training that was not disturbed."""

    files: TrainingFiles
    events: list[TrainingEvent]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    files = write_training(tmp_path_factory.mktemp("unbroken"))
    return Unbroken(files, run(files, **CONFIG)[1])


def lasting(events: list[TrainingEvent]) -> list[object]:
    """What a training tells but for times, places and what may be told again, in order."""
    return list(filter(None, map(_lasting, events)))


def _lasting(event: TrainingEvent) -> object:
    match event:
        case EpochFinished():
            return event.model_dump(exclude=TIMES)
        case Checkpoint(epoch=epoch, score=score):
            return *(file.sha256 for file in event.files), epoch, score
        case Finished():
            return event.before, event.after, event.verdict, event.best_epoch
        case RecognitionMeasured() | StageStarted():
            return event
    return None


def go(
    files: TrainingFiles,
    control: Control = ALWAYS,
    after: Callable[[TrainingEvent], None] = lambda _: None,
    config: Mapping[str, object] = CONFIG,
) -> list[TrainingEvent]:
    """One attempt: its events up to where it ended, by itself or by `after` raising Broken on the last of them."""
    events: list[TrainingEvent] = []

    def report(event: TrainingEvent) -> None:
        events.append(event)
        after(event)

    with contextlib.suppress(Broken):
        finetune(tiny_config(**config), files, report, control)
    return events


def resumed(files: TrainingFiles, saved: StateSaved, attempt: int) -> TrainingFiles:
    return replace(
        files,
        output_dir=files.output_dir.with_name(f"attempt-{attempt}"),
        resume=ResumeFrom(saved.file.path, saved.best),
    )


def told_until_saved(events: list[TrainingEvent]) -> tuple[list[TrainingEvent], StateSaved]:
    """What stands: all until the last state. The rest is told again."""
    last = max(index for index, event in enumerate(events) if isinstance(event, StateSaved))
    saved = events[last]
    assert isinstance(saved, StateSaved)
    return events[: last + 1], saved


def without_progress(events: list[TrainingEvent]) -> list[TrainingEvent]:
    return [event for event in events if not isinstance(event, Progressed | PhaseStarted)]


def break_at(event_number: int) -> Callable[[TrainingEvent], None]:
    numbers = iter(range(event_number))

    def after(event: TrainingEvent) -> None:
        if without_progress([event]) and next(numbers, None) is None:
            raise Broken

    return after


def stop_at(step: int, control: Control) -> Callable[[TrainingEvent], None]:
    def after(event: TrainingEvent) -> None:
        if isinstance(event, StateSaved) and event.steps_done >= step:
            control.stop.set()

    return after


def test_a_training_is_the_same_however_often_it_is_broken(unbroken: Unbroken, tmp_path: Path) -> None:
    """Broken by a crash after every few events, at odd places, until it is through."""
    draws = random.Random(0)
    files, standing, attempt = replace(unbroken.files, output_dir=tmp_path / "attempt-0"), list[TrainingEvent](), 0
    while True:
        # The state may be saved long before the crash, or right before it.
        control = Control(save_every_seconds=draws.choice([0, 0.1, 1000]))
        events = go(files, control, break_at(draws.randint(5, 9)))
        if isinstance(events[-1], Finished):
            break
        if any(isinstance(event, StateSaved) for event in events):
            told, saved = told_until_saved(events)
            standing += told
            attempt += 1
            files = resumed(files, saved, attempt)
    assert attempt >= 3
    assert lasting(standing + events) == lasting(unbroken.events)


PLACES = {
    "before the first step": 0,
    "in stage 1": 2,
    "between the stages": 6,
    "in stage 2": 8,
    "between epochs of stage 2": 12,
    "after the last step": STEPS,
}


@pytest.mark.parametrize("step", PLACES.values(), ids=PLACES)
def test_a_training_stopped_and_gone_on_with_is_the_same(step: int, unbroken: Unbroken, tmp_path: Path) -> None:
    control = Control(save_every_seconds=0)
    files = replace(unbroken.files, output_dir=tmp_path / "attempt-0")
    stopped = go(files, control, stop_at(step, control))
    assert stopped[-1] == Stopped()
    told, saved = told_until_saved(stopped)
    assert without_progress(told) == without_progress(stopped[:-1]), "what it told stands"
    first_written = sorted((tmp_path / "attempt-0").rglob("*"))
    rest = go(resumed(files, saved, 1))
    assert lasting(told + rest) == lasting(unbroken.events)
    assert sorted((tmp_path / "attempt-0").rglob("*")) == first_written, "an earlier attempt's folder is left alone"
    assert [type(event) for event in rest].count(Prepared) == 1
    progress = [event.progress for event in stopped + rest if isinstance(event, Progressed)]
    assert progress == sorted(progress)
    assert all(event.progress >= saved.progress for event in rest if isinstance(event, Progressed))


@pytest.mark.parametrize("step", [2, 8], ids=["stage 1", "stage 2"])
def test_a_state_that_drew_step_by_step_is_gone_on_from_the_same(step: int, unbroken: Unbroken, tmp_path: Path) -> None:
    control, files = Control(save_every_seconds=0), replace(unbroken.files, output_dir=tmp_path / "attempt-0")
    told, saved = told_until_saved(go(files, control, stop_at(step, control)))
    assert saved.step == 2
    epoch_began = next(event for event in reversed(told) if isinstance(event, StateSaved) and event.step == 0)
    as_first_versions_wrote_it(saved.file.path, epoch_began.file.path)
    rest = go(resumed(files, saved, 1))
    assert lasting(told + rest) == lasting(unbroken.events)


def as_first_versions_wrote_it(path: Path, epoch_began: Path) -> None:
    """They drew an epoch's order at its start, and for augmentation before each step."""
    state = torch.load(path, weights_only=True)
    running, generator = state["running"], torch.Generator()
    generator.set_state(torch.load(epoch_began, weights_only=True)["generator"])
    assert torch.equal(torch.randperm(len(running["order_N"]), generator=generator), running["order_N"])
    for batch in torch.split(running.pop("drawn_4N"), tiny_config().batch_size, dim=1)[: running["step"]]:
        assert torch.equal(draw(batch.shape[1], generator), batch)
    torch.save({**state, "generator": generator.get_state()}, path)


def test_patience_goes_on_across_a_stop(unbroken: Unbroken, tmp_path: Path) -> None:
    # With rates this small nothing gets better than the first validation's AUC.
    still = {"stage1_epochs": 0, "stage2_epochs": 6, "backbone_lr": 1e-30, "head_lr_stage2": 1e-30, "weight_decay": 0}
    config = {**still, "early_stop_patience": 3}
    control, files = Control(), replace(unbroken.files, output_dir=tmp_path / "attempt-0")
    told, saved = told_until_saved(go(files, control, stop_at(9, control), config))
    assert saved.best is not None
    assert (saved.epoch, saved.best.epoch) == (3, 1)
    rest = go(resumed(files, saved, 1), Control(), config=config)
    assert [event for event in told + rest if isinstance(event, StoppedEarly)] == [StoppedEarly(4, best_epoch=1)]
    assert [event.best for event in told + rest if isinstance(event, EpochFinished)] == [True, False, False, False]
    # Broken between the last epoch and the last measuring: it ends at once, and tells no end twice.
    over = [event for event in rest if isinstance(event, StateSaved)][-1]
    end = go(resumed(files, over, 2), Control(), config=config)
    assert not any(isinstance(event, EpochFinished | StoppedEarly | StageStarted) for event in end)
    assert isinstance(end[-1], Finished)
    assert end[-1].best_epoch == 1


def test_a_stop_while_faces_are_prepared_or_embedded_just_ends(unbroken: Unbroken, tmp_path: Path) -> None:
    control = Control()
    control.stop.set()
    files = replace(unbroken.files, output_dir=tmp_path / "output", prepared_dir=tmp_path / "prepared")
    assert go(files, control)[-1] == Stopped()
    assert not list(tmp_path.rglob("*.*")), "nothing half done is left"
    late = Control()
    events = go(files, late, lambda event: late.stop.set() if isinstance(event, Prepared) else None)
    assert [type(event) for event in without_progress(events)][-2:] == [Prepared, Stopped]


def test_a_stop_while_an_epoch_is_validated_saves_what_was_trained(
    unbroken: Unbroken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control()
    files = replace(unbroken.files, output_dir=tmp_path / "attempt-0")

    def stop_when_validated(
        backbone: nn.Module,
        val: ValFaces,
        device: torch.device,
        progress: Progress,
        control: Control,
        parallel: CpuParallel,
    ) -> ValEmbeddings:
        control.stop.set()
        return embed_val(backbone, val, device, progress, control, parallel)

    monkeypatch.setattr("worker.training.loop.stages.embed_val", stop_when_validated)
    told, saved = told_until_saved(go(files, control))
    assert (saved.stage, saved.epoch, saved.step) == (2, 1, 3)
    monkeypatch.undo()
    assert lasting(told + go(resumed(files, saved, 1))) == lasting(unbroken.events)


def test_states_are_plain_and_named_once(unbroken: Unbroken, tmp_path: Path) -> None:
    events = go(replace(unbroken.files, output_dir=tmp_path / "output"))
    saved = [event for event in events if isinstance(event, StateSaved)]
    assert len({event.file.path for event in saved}) == len(saved) == 1 + STEPS + 5
    for event in saved:
        state = torch.load(event.file.path, weights_only=True)
        assert (state["stage"], state["epoch"], state["steps_done"]) == (event.stage, event.epoch, event.steps_done)
    assert [event.steps_done for event in saved] == sorted(event.steps_done for event in saved)
    assert saved[-1].steps_done == STEPS


def test_an_epoch_is_told_when_its_state_is_on_disk_and_the_state_last(unbroken: Unbroken, tmp_path: Path) -> None:
    output, on_disk = tmp_path / "output", list[set[Path]]()

    def note_files(_: TrainingEvent) -> None:
        on_disk.append(set(output.glob("*.pth")))

    events = go(replace(unbroken.files, output_dir=output), Control(), note_files)
    finished = [index for index, event in enumerate(events) if isinstance(event, EpochFinished)]
    assert len(finished) == 5
    for index in finished:
        following = iter(events[index + 1 :])
        checkpoint = next(following) if getattr(events[index], "best", False) else None
        assert checkpoint is None or isinstance(checkpoint, Checkpoint)
        saved = next(following)
        assert isinstance(saved, StateSaved)
        assert saved.best is None or checkpoint in (None, saved.best)
        assert saved.file.path in on_disk[index]


def test_without_a_reason_the_state_is_saved_at_the_start_and_after_epochs(unbroken: Unbroken) -> None:
    saved = [event for event in unbroken.events if isinstance(event, StateSaved)]
    assert [(event.stage, event.epoch, event.step) for event in saved] == [
        (1, 0, 0),
        *((1, epoch, 0) for epoch in (1, 2)),
        *((2, epoch, 0) for epoch in (1, 2, 3)),
    ]


def change_weights(files: TrainingFiles) -> None:
    weights = torch.load(files.edgeface, weights_only=True)
    torch.save({name: tensor * 1.001 for name, tensor in weights.items()}, files.edgeface)


def remove_a_train_face(files: TrainingFiles) -> None:
    sorted((files.train_dir / "vlr_images").iterdir())[0].unlink()


def swap_gallery_faces(files: TrainingFiles) -> None:
    first, second = sorted((files.val_dir / "hr_images").iterdir())[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_weights, "the EdgeFace weights"),
        (remove_a_train_face, "train's VLR images"),
        (swap_gallery_faces, "val's HR images"),
    ],
)
def test_inputs_that_changed_are_named(change: Callable[[TrainingFiles], None], named: str, tmp_path: Path) -> None:
    files = write_training(tmp_path)
    _, saved = told_until_saved(go(files, after=break_at(5)))
    change(files)
    with pytest.raises(InputsChanged) as changed:
        go(resumed(files, saved, 1))
    assert changed.value.message.startswith(f"{named} changed since")


@pytest.mark.parametrize("damage", ["cut", "other", "lacking", "misfitting", "without its checkpoint"])
def test_a_damaged_state_is_refused_in_words(damage: str, unbroken: Unbroken, tmp_path: Path) -> None:
    saved = next(event for event in unbroken.events if isinstance(event, StateSaved) and event.best)
    path, best = tmp_path / "state.pth", saved.best
    content = torch.load(saved.file.path, weights_only=True)
    match damage:
        case "cut":
            path.write_bytes(saved.file.path.read_bytes()[:1000])
        case "other":
            torch.save(content["backbone"], path)
        case "lacking":
            torch.save({name: value for name, value in content.items() if name != "optimization"}, path)
        case "misfitting":
            torch.save({**content, "head": {"weight": torch.zeros(3, 512)}}, path)
        case _:
            torch.save(content, path)
            best = None
    files = replace(unbroken.files, output_dir=tmp_path / "output", resume=ResumeFrom(path, best))
    with pytest.raises(WeightsUnreadable, match=r"state\.pth is not a readable"):
        go(files)
