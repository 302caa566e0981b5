"""Which epoch is the best."""

import pytest

from app.finetune.dataset import Selection
from worker.training.validation.selection import Best, Validated


def offered(selection: Selection, *validated: tuple[float, float, float]) -> tuple[list[bool], Best]:
    """Each validation is loss, accuracy, AUC."""
    best = Best(selection)
    return [best.offer(epoch, Validated(*one)) for epoch, one in enumerate(validated, start=1)], best


def test_accuracy_chooses_and_lower_loss_breaks_ties() -> None:
    are_best, best = offered("val_accuracy", (2.0, 0.5, 0.9), (1.0, 0.5, 0.1), (1.0, 0.5, 0.9), (0.1, 0.4, 1.0))
    assert are_best == [True, True, False, False]
    assert best.epoch == 2
    assert best.validations_since == 2


def test_auc_chooses_and_a_tie_keeps_the_earlier_epoch() -> None:
    are_best, best = offered("verification_auc", (2.0, 0.5, 0.8), (1.0, 0.9, 0.8), (9.0, 0.0, 0.9))
    assert are_best == [True, False, True]
    assert best.epoch == 3
    assert best.validations_since == 0


@pytest.mark.parametrize(("selection", "score"), [("val_accuracy", 0.25), ("verification_auc", 0.75)])
def test_the_score_is_what_was_chosen_by(selection: Selection, score: float) -> None:
    assert Best(selection).score(Validated(1.0, 0.25, 0.75)) == score
