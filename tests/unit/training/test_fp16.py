"""A fine-tuning in fp16 on a pretended GPU."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.cli.event_lines import event_line
from app.finetune.events import EpochFinished, RolledBack, StateSaved, StepsSkipped, TrainingEvent, Warned
from tests.pretended_gpu import pretended_gpu
from tests.unit.training.support import run_unpredicted, write_training
from worker.training.loop import loss_scaler
from worker.training.storage.paths import ResumeFrom, TrainingFiles

IN_FP16 = {"device": "cuda", "mixed_precision": "fp16", "stage1_epochs": 0, "stage2_epochs": 2, "backbone_lr": 1e-4}


def losses(events: list[TrainingEvent]) -> list[float]:
    return [event.train_loss for event in events if isinstance(event, EpochFinished)]


def of_kind(events: list[TrainingEvent], *kinds: type) -> list[TrainingEvent]:
    return [event for event in events if isinstance(event, kinds)]


def overflow_fp16(files: TrainingFiles) -> None:
    """Activations of a million, which float32 holds."""
    weights = torch.load(files.edgeface, weights_only=True)
    for name, weight in weights.items():
        if name.endswith("blocks.0.mlp.fc1.weight"):
            weight *= 1e6
        if name.endswith("blocks.0.mlp.fc2.weight"):
            weight /= 1e6
    torch.save(weights, files.edgeface)


@pytest.mark.slow
def test_a_training_that_overflows_fp16_goes_on_in_float32_also_when_it_is_resumed(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    overflow_fp16(files)
    with pretended_gpu(bf16=False):
        _, events = run_unpredicted(files, **IN_FP16)
        saved = [event for event in events if isinstance(event, StateSaved)][1]
        resumed_files = replace(files, output_dir=tmp_path / "2", resume=ResumeFrom(saved.file.path, saved.best))
        _, resumed = run_unpredicted(resumed_files, **IN_FP16)
        _, expected = run_unpredicted(
            replace(files, output_dir=tmp_path / "3"), **{**IN_FP16, "mixed_precision": "off"}
        )
    assert of_kind(events, RolledBack) == [RolledBack(1.0, stage=2, epoch=0, step=0, precision="float32")]
    assert "fp16_overflowed" in [event.warning.code for event in events if isinstance(event, Warned)]
    assert "fp16 overflowed: resumes from stage" in "\n".join(filter(None, map(event_line, events)))
    assert losses(events) == losses(expected), "the rates stay as they are"
    assert of_kind(resumed, RolledBack) == []
    assert losses(resumed) == losses(expected)[1:]


@pytest.mark.slow
def test_steps_whose_gradients_overflow_are_told_with_their_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_scaler, "FIRST_SCALE", 2.0**25)
    with pretended_gpu(bf16=False):
        _, events = run_unpredicted(write_training(tmp_path), **{**IN_FP16, "stage2_epochs": 1})
    (told,) = of_kind(events, StepsSkipped)
    assert isinstance(told, StepsSkipped)
    assert (told.stage, told.epoch, told.steps) == (2, 1, 3)
    assert told.skipped > 0
    assert told.loss_scale == 2.0 ** (25 - told.skipped)
    assert f"gradients overflowed in {told.skipped} of 3 steps" in "\n".join(filter(None, map(event_line, events)))
