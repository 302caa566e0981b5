"""Writes losses.json anew: `python -m tests.golden.update`. Say in the commit why the numbers moved."""

import json
import tempfile
from pathlib import Path

from app.finetune.events import EpochFinished
from tests.unit.training.support import run, write_training

LOSSES = Path(__file__).with_name("losses.json")
Losses = dict[str, dict[str, float]]


def golden_losses(folder: Path) -> Losses:
    """Every epoch's losses of a fixed training on drawn faces: `stage 2 epoch 3` -> train and val loss."""
    _, events = run(write_training(folder), stage1_epochs=2, stage2_epochs=3, backbone_lr=1e-4, seed=42)
    return {
        f"stage {event.stage} epoch {event.epoch}": {"train": event.train_loss, "val": event.val_loss or 0.0}
        for event in events
        if isinstance(event, EpochFinished)
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        LOSSES.write_text(json.dumps(golden_losses(Path(folder)), indent=2) + "\n")
