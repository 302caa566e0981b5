"""What a training prints follows its config: what is trained, what chooses the epoch, whether it may stop early."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.api_models.dry_run import EstimateView
from app.cli.durations import estimate_lines
from app.cli.event_lines import event_line
from app.finetune.events import DurationPredicted
from app.finetune.ranges import Estimate
from tests.unit.training.support import run, tiny_config, write_training

ARCFACE = "stage 2: backbone and ArcFace head, 2 epochs"
DISTILLED = "stage 2: backbone and prototypes of 12 identities, by distillation, 2 epochs"
OF_SUBJECTS = "train accuracy: augmented faces whose nearest subject is their own, without the margin"
OF_IDENTITIES = "train accuracy: augmented faces whose nearest prototype is that of their own identity"
BEST = ["val accuracy chooses the best epoch", "  new best: epoch ", "val accuracy 0.", "best epoch "]
LAST = ["the last epoch is kept", "  kept: epoch 2, the last validated", "epoch 2, the last, is kept"]
SMALL = {"stage1_epochs": 0, "stage2_epochs": 2, "val_interval": 1}
RECOMMENDED = {"recipe": "recommended", "synthetic_identities": 8, "batch_size": 64}


@pytest.mark.parametrize(
    ("changes", "printed", "untrue"),
    [
        ({}, [ARCFACE, OF_SUBJECTS, *BEST], [OF_IDENTITIES, *LAST]),
        ({"keep": "last"}, [ARCFACE, OF_SUBJECTS, *LAST], [OF_IDENTITIES, "best", "chooses"]),
        (RECOMMENDED, [DISTILLED, OF_IDENTITIES, *LAST], ["ArcFace", OF_SUBJECTS, "best", "chooses"]),
        (RECOMMENDED | {"keep": "best"}, [DISTILLED, OF_IDENTITIES, *BEST], ["ArcFace", OF_SUBJECTS, *LAST]),
    ],
)
@pytest.mark.parametrize("patience", [0, 8])
def test_the_lines_of_a_training(
    changes: dict[str, object], printed: Sequence[str], untrue: Sequence[str], patience: int, tmp_path: Path
) -> None:
    _, events = run(write_training(tmp_path), **SMALL, **changes, early_stop_patience=patience)
    lines = "\n".join(filter(None, map(event_line, events))).replace(str(tmp_path), "")
    for text in printed:
        assert text in lines
    for text in (*untrue, "early stopping"):
        assert text not in lines.replace("best-epoch", ""), "two epochs cannot stop early"


@pytest.mark.parametrize("recipe", ["guide", "recommended"])
@pytest.mark.parametrize(
    ("changes", "stops_early"),
    [
        ({"keep": "best", "early_stop_patience": 8, "stage2_epochs": 20, "val_interval": 1}, True),
        ({"keep": "best", "early_stop_patience": 8, "stage2_epochs": 10, "val_interval": 1}, True),
        ({"keep": "best", "early_stop_patience": 8, "stage2_epochs": 9, "val_interval": 1}, False),
        ({"keep": "best", "early_stop_patience": 8, "stage2_epochs": 40, "val_interval": 5}, False),
        ({"keep": "best", "early_stop_patience": 0, "stage2_epochs": 20, "val_interval": 1}, False),
        ({"keep": "last", "early_stop_patience": 8, "stage2_epochs": 20, "val_interval": 1}, False),
        ({"keep": "last", "early_stop_patience": 0, "stage2_epochs": 20, "val_interval": 1}, False),
    ],
)
def test_only_a_config_that_may_stop_early_is_said_to_be_shorter_then(
    recipe: str, changes: dict[str, object], stops_early: bool
) -> None:
    config = tiny_config(recipe=recipe, **changes)
    assert config.can_stop_early is stops_early
    seconds = Estimate(1.0, 2.0, 3.0)
    predicted = event_line(DurationPredicted(0.5, seconds, 1, 20, 0.1, config.can_stop_early))
    estimate = EstimateView(
        seconds={"low": 1, "likely": 2, "high": 3},
        seconds_by_part=dict.fromkeys(("start", "prepare", "before", "stage1", "stage2", "after"), 1),
        stage1_epochs=1,
        stage2_epochs=20,
        stage2_epoch_seconds=0.1,
        can_stop_early=config.can_stop_early,
        device="cpu",
        images_enlarged=0,
        process_bytes=1,
        device_bytes=None,
        prepared_bytes=1,
        state_bytes=1,
        checkpoint_bytes=1,
    )
    for line in (predicted or "", "\n".join(estimate_lines(estimate))):
        assert "for all 21 epochs" in line
        assert ("early stopping makes it shorter" in line) is stops_early
