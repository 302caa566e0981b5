"""What is handed out lies as far on the way to the trained weights as was asked, and what is learned is the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.finetune.events import Checkpoint, EpochFinished, RecognitionMeasured, TrainingEvent
from tests.unit.training.support import run_unpredicted, write_training
from tests.unit.training.test_resume import go, resumed, stop_at, told_until_saved
from worker.training.models.edgeface import load_edgeface
from worker.training.runtime.control import Control

GUIDE: dict[str, object] = {"stage1_epochs": 1, "stage2_epochs": 2, "backbone_lr": 1e-3, "keep": "last"}
RECOMMENDED: dict[str, object] = {
    **GUIDE,
    "recipe": "recommended",
    "stage1_epochs": 0,
    "batch_size": 6,
    "val_interval": 1,
    "synthetic_identities": 3,
}


def exported(events: list[TrainingEvent]) -> dict[str, torch.Tensor]:
    last = [event for event in events if isinstance(event, Checkpoint)][-1]
    return load_edgeface(last.full.path)[0].state_dict()


def epochs(events: list[TrainingEvent]) -> list[EpochFinished]:
    return [event for event in events if isinstance(event, EpochFinished)]


@pytest.mark.parametrize("config", [GUIDE, RECOMMENDED], ids=["guide", "recommended"])
def test_a_quarter_of_the_way(config: dict[str, object], tmp_path: Path) -> None:
    files = write_training(tmp_path)
    given = load_edgeface(files.edgeface)[0].state_dict()
    _, whole = run_unpredicted(files, **{**config, "interpolation": 1.0})
    quarter_files = replace(files, output_dir=tmp_path / "quarter")
    _, quarter = run_unpredicted(quarter_files, **{**config, "interpolation": 0.25})
    trained = exported(whole)
    for name, tensor in exported(quarter).items():
        expected = given[name] + 0.25 * (trained[name] - given[name])
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=1e-7)
    assert any(not torch.equal(given[name], trained[name]) for name in given)
    assert [epoch.train_loss for epoch in epochs(quarter)] == [epoch.train_loss for epoch in epochs(whole)]
    assert epochs(quarter)[-1].val_genuine_similarity != epochs(whole)[-1].val_genuine_similarity, "its own validation"


def test_gone_on_with_it_is_still_between_the_weights_first_given(tmp_path: Path) -> None:
    files, config = write_training(tmp_path), {**GUIDE, "interpolation": 0.5}
    _, unbroken = run_unpredicted(files, **config)
    control = Control(save_every_seconds=0)
    first = replace(files, output_dir=tmp_path / "attempt-0")
    told, saved = told_until_saved(go(first, control, stop_at(8, control), config))
    assert saved.stage == 2
    went_on = go(resumed(first, saved, 1), config=config)
    expected = exported(unbroken)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in exported(went_on).items())
    measured = [
        event for events in (unbroken, told + went_on) for event in events if isinstance(event, RecognitionMeasured)
    ]
    assert measured[:2] == measured[2:]
