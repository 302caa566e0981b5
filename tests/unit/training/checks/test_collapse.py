"""Embeddings that become alike are warned of, once, in numbers; healthy trainings are not."""

from pathlib import Path

import numpy as np
import pytest

from app.finetune.events import EpochFinished, TrainingEvent, Warned
from tests.unit.training.support import run, write_training
from worker.training.checks.collapse import collapse_warning
from worker.training.metrics import PairScores, Separation, separation
from worker.training.metrics.pairs import pairs_of_scores


def scores(genuine: list[float], impostor: list[float]) -> PairScores:
    return pairs_of_scores(np.array(genuine, np.float32), np.array(impostor, np.float32))


def test_separation_by_hand() -> None:
    found = separation(scores([0.9, 0.7], [0.3, 0.1, 0.2]))
    assert found is not None
    assert (found.genuine, found.impostor, found.gap) == pytest.approx((0.8, 0.2, 0.6))
    variance = (0.01 + 0.02 / 3) / 2  # of populations: 0.1 ** 2, and (0.1 ** 2 + 0.1 ** 2) / 3
    assert found.d_prime == pytest.approx(0.6 / variance**0.5)


def test_separation_where_it_has_no_spread() -> None:
    assert separation(scores([], [0.1])) is None
    assert separation(scores([0.1], [])) is None
    assert separation(scores([1, 1], [1, 1, 1])) == Separation(1, 1, 0.0)
    assert separation(scores([1, 1], [0])) == Separation(1, 0, None)


BEFORE = Separation(genuine=0.6, impostor=0.1, d_prime=2.0)


@pytest.mark.parametrize(
    ("now", "warns"),
    [
        (Separation(0.95, 0.8, 1.0), True),
        (Separation(0.4, 0.2, 1.0), True),
        (Separation(0.3, 0.09, 1.0), False),  # impostors are not more alike
        (Separation(0.8, 0.5, 1.0), False),  # the gap is over half
        (Separation(0.95, 0.8, 1.5), False),  # d' is over 70 %
        (BEFORE, False),
        (None, False),
    ],
)
def test_all_three_signs_are_needed(now: Separation | None, warns: bool) -> None:
    warning = collapse_warning(BEFORE, now)
    assert (warning is not None) == warns
    assert collapse_warning(None, now) is None


def test_a_backbone_that_tells_nobody_apart_has_nothing_to_lose() -> None:
    assert collapse_warning(Separation(0.1, 0.2, -0.1), Separation(0.9, 0.95, -0.2)) is None


def test_the_warning_has_the_numbers() -> None:
    warning = collapse_warning(BEFORE, Separation(0.95, 0.8, 1.0))
    assert warning is not None
    assert warning.code == "embedding_collapse"
    for number in ("0.100", "0.800", "0.600", "0.950", "2.00", "1.00"):
        assert number in warning.message


def collapses(events: list[TrainingEvent]) -> int:
    return sum(isinstance(event, Warned) and event.warning.code == "embedding_collapse" for event in events)


def test_a_training_that_collapses_is_warned_of_once_and_a_healthy_one_not(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    _, healthy = run(files, stage1_epochs=0, stage2_epochs=2, backbone_lr=1e-4)
    _, collapsed = run(files, stage1_epochs=0, stage2_epochs=3, backbone_lr=0.3, early_stop_patience=0)
    assert collapses(healthy) == 0
    assert collapses(collapsed) == 1
    last = [event for event in collapsed if isinstance(event, EpochFinished)][-1]
    assert last.val_impostor_similarity is not None
    assert last.val_impostor_similarity > 0.9
