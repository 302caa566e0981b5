"""A training that runs out of memory or into NaN goes on, and is what it should be."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.cli.event_lines import event_line
from app.finetune.events import (
    BatchSplit,
    EpochFinished,
    RolledBack,
    Stage,
    StageStarted,
    StateSaved,
    TrainingEvent,
    Warned,
)
from app.finetune.training_errors import LossNotFinite, OutOfMemory
from tests.unit.training.support import run, run_unpredicted, tiny_config, write_training
from worker.training.finetune import finetune
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.classifier import CosineClassifier, Cosines
from worker.training.runtime.control import Control
from worker.training.runtime.out_of_memory import in_parts_that_fit
from worker.training.storage.paths import ResumeFrom, TrainingFiles

Fault = Callable[[], Exception]
CHANGES = {"backbone_lr": 1e-4, "head_lr": 1e-2, "label_smoothing": 0.2, "stage2_epochs": 1}
FAULTS: dict[str, Fault] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "cpu": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    "python": MemoryError,
}


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory) -> list[TrainingEvent]:
    return run(write_training(tmp_path_factory.mktemp("unlimited")), **CHANGES)[1]


def limit_memory(monkeypatch: pytest.MonkeyPatch, images: int, fault: Fault = FAULTS["cuda"]) -> list[int]:
    """EdgeFace cannot take more images at once; what it was given is noted."""
    forward, given = EdgeFace.forward, list[int]()

    def limited(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        given.append(len(x_BCHW))
        if len(x_BCHW) > images:
            raise fault()
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", limited)
    return given


def epochs(events: list[TrainingEvent]) -> list[EpochFinished]:
    return [event for event in events if isinstance(event, EpochFinished)]


def assert_same_curve(events: list[TrainingEvent], expected: list[TrainingEvent]) -> None:
    assert len(epochs(events)) == len(epochs(expected))
    for found, wanted in zip(epochs(events), epochs(expected), strict=True):
        assert (found.stage, found.epoch) == (wanted.stage, wanted.epoch)
        assert found.train_loss == pytest.approx(wanted.train_loss, rel=1e-4)
        assert found.val_loss == pytest.approx(wanted.val_loss, rel=1e-3)
        assert found.train_accuracy == pytest.approx(wanted.train_accuracy, abs=1 / 16)


# 16 faces in batches of 6 are 6, 6 and 4: with at most 4 at once the parts are 3 and 3, and 3 and 1.
@pytest.mark.parametrize(("at_once", "micro_batch_sizes"), [(4, [3]), pytest.param(1, [3, 1], marks=pytest.mark.slow)])
def test_batches_are_split_until_they_fit_and_nothing_else_changes(
    at_once: int,
    micro_batch_sizes: list[int],
    unlimited: list[TrainingEvent],
    files: TrainingFiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = limit_memory(monkeypatch, at_once)
    _, events = run_unpredicted(files, **CHANGES)
    assert_same_curve(events, unlimited)
    split = [event for event in events if isinstance(event, BatchSplit)]
    assert [event.micro_batch_size for event in split] == micro_batch_sizes
    assert {(event.batch_size, event.stage, event.epoch, event.step) for event in split} == {(6, 1, 1, 0)}, (
        "stage 1 differentiates nothing through the backbone, and halves what it embeds at once by itself"
    )
    assert [size for size in given if size > at_once].count(6) == 1, "no batch is tried whole twice"
    assert [event.stage for event in events if isinstance(event, StageStarted)] == [1, 2]
    assert f"computed in microbatches of {micro_batch_sizes[0]}" in "\n".join(filter(None, map(event_line, events)))


def test_memory_that_runs_out_in_the_middle_of_an_epoch_sends_back_to_the_saved_state(
    unlimited: list[TrainingEvent], files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, forward = [0], EdgeFace.forward

    def fails_once(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        calls[0] += backbone.training
        if calls[0] == 2:  # the second step of stage 2
            calls[0] += 1
            raise MemoryError
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", fails_once)
    _, events = run_unpredicted(files, **CHANGES)
    assert_same_curve(events, unlimited)
    assert [event for event in events if isinstance(event, BatchSplit)] == [BatchSplit(6, 3, stage=1, epoch=1, step=0)]
    assert [event.stage for event in events if isinstance(event, StageStarted)] == [1, 2], "told once"


@pytest.mark.slow
def test_a_resumed_training_remembers_the_size_that_fits(files: TrainingFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 4)
    events: list[TrainingEvent] = []
    control = Control()

    def stop_at_first_epoch(event: TrainingEvent) -> None:
        events.append(event)
        if isinstance(event, EpochFinished) and event.stage == 2:
            control.stop.set()

    finetune(tiny_config(), files, stop_at_first_epoch, control)
    saved = [event for event in events if isinstance(event, StateSaved)][-1]
    _, rest = run(replace(files, output_dir=files.output_dir / "2", resume=ResumeFrom(saved.file.path, saved.best)))
    assert any(isinstance(event, BatchSplit) for event in events)
    assert not any(isinstance(event, BatchSplit) for event in rest)


def test_not_even_one_image_fits(files: TrainingFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = EdgeFace.forward

    def never_trains(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        if backbone.training:
            raise torch.OutOfMemoryError
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", never_trains)
    with pytest.raises(OutOfMemory, match="even with 1 image"):
        run(files)
    limit_memory(monkeypatch, 0)
    with pytest.raises(OutOfMemory, match="even with 1 image"):
        run(files)


def test_parts_halve_until_they_fit_and_none_is_lost() -> None:
    given: list[int] = []
    heard: list[int] = []

    def compute(x_N: Tensor) -> Tensor:
        given.append(len(x_N))
        if len(x_N) > 3:
            raise torch.OutOfMemoryError
        return 2 * x_N

    assert torch.equal(in_parts_that_fit(compute, torch.arange(11), 8, heard.append), 2 * torch.arange(11))
    assert given == [8, 4, 2, 2, 2, 2, 2, 1]
    assert heard == [2, 2, 2, 2, 2, 1]


def test_another_error_is_not_taken_for_a_lack_of_memory(files: TrainingFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        run(files)


def spoil_loss(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """The classifier gives NaN in these steps, counted from 1 over all tries."""
    forward, count = CosineClassifier.forward, [0]

    def spoiled(classifier: CosineClassifier, e_BD: Tensor) -> Cosines:
        cosines = forward(classifier, e_BD)
        if not torch.is_grad_enabled():  # validation
            return cosines
        count[0] += 1
        return cosines._replace(cosine_BS=cosines.cosine_BS * torch.nan) if count[0] in steps else cosines

    monkeypatch.setattr(CosineClassifier, "forward", spoiled)


def test_a_loss_gone_bad_is_rolled_back_once_with_lower_rates(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_loss(monkeypatch, 8)  # 3 steps in each epoch: the second of the second epoch of stage 2
    _, events = run_unpredicted(files, stage2_epochs=3, backbone_lr=1e-4, early_stop_patience=0)
    told = [event for event in events if isinstance(event, RolledBack)]
    assert told == [RolledBack(0.1, stage=2, epoch=1, step=0)]
    codes = [event.warning.code for event in events if isinstance(event, Warned)]
    before, after = ["hr_not_told_apart", "names_not_compared"], ["val_subjects_trained_on", "val_chose_the_epoch"]
    assert codes == [*before, "rolled_back", *after]
    rates = [(event.head_lr, event.backbone_lr) for event in epochs(events) if event.stage == 2]
    cosine = [1, 0.75, 0.25]
    scales = [1, 0.1, 0.1]
    for (head_lr, backbone_lr), share, scale in zip(rates, cosine, scales, strict=True):
        assert head_lr == pytest.approx(5e-5 * share * scale)
        assert backbone_lr == pytest.approx(1e-4 * share * scale)
    lines = "\n".join(filter(None, map(event_line, events)))
    assert "in epoch 2 of stage 2: the training went back to the end of epoch 1 of stage 2" in lines


def test_a_rollback_in_stage_1_lowers_the_rates_of_stage_2_too(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_loss(monkeypatch, 2)
    _, events = run(files, stage2_epochs=1)
    head_alone, all_of_it = epochs(events)
    assert head_alone.head_lr == pytest.approx(1e-4)
    assert (all_of_it.head_lr, all_of_it.backbone_lr) == pytest.approx((5e-6, 5e-7))


def test_no_weight_moves_by_a_loss_gone_bad(files: TrainingFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rolled back to the state right before it: what follows is what a tenth of the rates from there gives."""
    spoil_loss(monkeypatch, 2, 3)
    events: list[TrainingEvent] = []
    with pytest.raises(LossNotFinite, match="epoch 1 of stage 1"):
        finetune(tiny_config(), files, events.append, Control(save_every_seconds=0))
    assert [event for event in events if isinstance(event, RolledBack)] == [RolledBack(0.1, stage=1, epoch=0, step=1)]
    for event in events:
        if isinstance(event, StateSaved):
            state = torch.load(event.file.path, weights_only=True)
            assert all(tensor.isfinite().all() for tensor in [*state["backbone"].values(), *state["head"].values()])
    assert [event.step for event in events if isinstance(event, StateSaved)] == [0, 1]


@pytest.mark.parametrize(
    ("step", "back_to"), [(5, (2, 0, 1)), (6, (1, 1, 0))], ids=["inside an epoch", "at the end of an epoch"]
)
def test_a_weight_gone_bad_is_never_saved(
    step: int, back_to: tuple[Stage, int, int], files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the step is finite, but its gradient is not: a weight is NaN after it."""
    adamw_step, count = torch.optim.AdamW.step, [0]

    def spoiling(optimizer: torch.optim.AdamW) -> None:
        adamw_step(optimizer)
        count[0] += 1
        if count[0] == step:
            optimizer.param_groups[0]["params"][0].data.fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", spoiling)
    events: list[TrainingEvent] = []
    control = Control(save_every_seconds=0 if step == 5 else 60, predict_duration=False)
    finetune(tiny_config(stage2_epochs=1), files, events.append, control)
    assert [event for event in events if isinstance(event, RolledBack)] == [RolledBack(0.1, *back_to)]
    for event in events:
        if isinstance(event, StateSaved):
            state = torch.load(event.file.path, weights_only=True)
            assert all(tensor.isfinite().all() for tensor in state["backbone"].values())


def test_a_rollback_is_not_forgotten_when_memory_runs_out_after_it(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_loss(monkeypatch, 1)
    forward, count = EdgeFace.forward, [0]

    def fails_once(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        count[0] += backbone.training
        if count[0] == 2:  # the first step after the rollback
            count[0] += 1
            raise torch.OutOfMemoryError
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", fails_once)
    _, events = run(files, stage1_epochs=0, stage2_epochs=1)
    kinds = [type(event) for event in events if isinstance(event, RolledBack | BatchSplit)]
    assert kinds == [RolledBack, BatchSplit]
    assert epochs(events)[0].backbone_lr == pytest.approx(5e-7)
