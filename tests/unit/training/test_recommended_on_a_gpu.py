"""A training by the recommended recipe on a pretended GPU: what it learns, and what the CPU waits for."""

from pathlib import Path

import pytest

from app.finetune.events import EpochFinished, StateSaved, TrainingEvent
from tests.pretended_gpu import pretended_gpu

from .support import run_unpredicted, write_training

CONFIG: dict[str, object] = {
    "recipe": "recommended",
    "stage2_epochs": 2,
    "val_interval": 2,
    "batch_size": 4,
    "synthetic_identities": 3,
    "vlr_share": 0.3,
    "seed": 7,
}


def losses(events: list[TrainingEvent]) -> list[float]:
    return [event.train_loss for event in events if isinstance(event, EpochFinished)]


@pytest.mark.slow
def test_it_learns_the_same_waits_for_no_batch_and_copies_each_file_at_once(tmp_path: Path) -> None:
    _, expected = run_unpredicted(write_training(tmp_path / "cpu"), **CONFIG)
    with pretended_gpu() as gpu:
        _, events = run_unpredicted(write_training(tmp_path / "gpu"), **CONFIG, device="cuda")
    assert losses(events) == pytest.approx(losses(expected), rel=1e-5)
    waits = {where: count for where, count in gpu.waits.items() if "worker/training/data/" in where}
    assert not waits
    states = sum(isinstance(event, StateSaved) for event in events)
    checkpoints = sum(isinstance(event, EpochFinished) and event.best for event in events)
    copied = {where: count for where, count in gpu.waits.items() if "worker/training/runtime/transfers.py" in where}
    assert list(copied.values()) == [states + checkpoints], "one wait for each state and for both files of a checkpoint"
    assert not {where for where in gpu.copies if "transfers.py" in where or "worker/training/data/" in where}
