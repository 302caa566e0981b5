"""Overfitting is said, in numbers, where train gets better and val worse."""

import pytest

from app.finetune.events import EpochFinished, Stage
from worker.training.checks.overfitting import overfitting_warning


def epoch(number: int, loss: float, auc: float | None, stage: Stage = 2) -> EpochFinished:
    return EpochFinished(
        stage=stage,
        epoch=number,
        epochs=9,
        train_loss=loss,
        train_accuracy=0.5,
        val_loss=None,
        val_accuracy=None,
        val_auc=auc,
        head_lr=1e-3,
        backbone_lr=1e-5,
        seconds=1.0,
        images_per_second=1.0,
        best=False,
    )


@pytest.mark.parametrize(
    ("losses_and_aucs", "warns"),
    [
        ([(9.0, 0.90), (8.0, 0.95), (7.0, 0.94), (6.0, 0.93)], True),
        ([(9.0, 0.90), (8.0, 0.95), (7.0, None), (6.0, 0.93)], True),
        ([(9.0, 0.90), (8.0, 0.95), (7.0, 0.947), (6.0, 0.947)], False),  # under 0.005
        ([(9.0, 0.90), (8.0, 0.91), (7.0, 0.95), (6.0, 0.93)], False),  # one epoch only
        ([(9.0, 0.90), (6.0, 0.95), (7.0, 0.94), (8.0, 0.93)], False),  # train gets worse too
        ([(9.0, 0.90), (8.0, 0.91), (7.0, 0.92)], False),
        ([(9.0, None)], False),
        ([], False),
    ],
)
def test_train_gets_better_and_val_worse(losses_and_aucs: list[tuple[float, float | None]], warns: bool) -> None:
    epochs = [epoch(number, loss, auc) for number, (loss, auc) in enumerate(losses_and_aucs, start=1)]
    found = overfitting_warning([epoch(1, 99.0, 0.99, stage=1), *epochs])
    assert (found is not None) == warns
    if found is not None:
        assert "from epoch 2 to epoch 4" in found.message
        assert "from 8.000 to 6.000" in found.message
        assert "from 0.9500 to 0.9300" in found.message
