"""The duration of a run is predicted once, and the run computes the same with and without the prediction."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.cli.event_lines import event_line
from app.finetune.events import DurationPredicted, EpochFinished, Progressed, StateSaved, TrainingEvent
from app.finetune.ranges import NOTHING, Estimate
from tests.unit.training.support import tiny_config, write_training
from worker.training.finetune import finetune
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import Costs, EvaluationCosts, Parts, Position, Sizes, batches_of, parts_left
from worker.training.storage.paths import ResumeFrom, TrainingFiles

CHANGES: dict[str, object] = {"backbone_lr": 1e-4, "head_lr": 1e-2, "stage1_epochs": 2, "stage2_epochs": 2}


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


def train(files: TrainingFiles, *, predict_duration: bool = True, **changes: object) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []
    config = tiny_config(**{**CHANGES, **changes})
    finetune(config, files, events.append, Control(save_every_seconds=0, predict_duration=predict_duration))
    return [event for event in events if not isinstance(event, Progressed)]


def predictions(events: list[TrainingEvent]) -> list[DurationPredicted]:
    return [event for event in events if isinstance(event, DurationPredicted)]


def test_the_duration_is_predicted_once_and_while_there_is_still_much_to_do(files: TrainingFiles) -> None:
    events = train(files, stage1_epochs=3)
    (predicted,) = predictions(events)
    assert (predicted.stage1_epochs, predicted.stage2_epochs) == (3, 2)
    left = predicted.seconds_left
    assert 0 < left.low < left.likely < left.high
    assert 0 < 2 * predicted.stage2_epoch_seconds < left.likely
    assert predicted.seconds_spent > 0
    # Three steps an epoch: after the second epoch there are enough of them.
    before = [event.epoch for event in events[: events.index(predicted)] if isinstance(event, EpochFinished)]
    assert before == [1]
    assert (event_line(predicted) or "").startswith("predicted: ")


def test_a_prediction_changes_no_bit_of_what_is_trained(files: TrainingFiles, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with_prediction, random_after = train(files), torch.random.get_rng_state()
    torch.manual_seed(0)
    without = train(replace(files, output_dir=tmp_path / "without"), predict_duration=False)
    assert torch.equal(torch.random.get_rng_state(), random_after)
    assert len(predictions(with_prediction)) == 1
    assert predictions(without) == []
    assert losses(with_prediction) == losses(without)
    for ours, theirs in zip(states(with_prediction), states(without), strict=True):
        assert_equal(weights_of(ours), weights_of(theirs))


def losses(events: list[TrainingEvent]) -> list[tuple[float, float | None]]:
    return [(event.train_loss, event.val_auc) for event in events if isinstance(event, EpochFinished)]


def states(events: list[TrainingEvent]) -> list[StateSaved]:
    return [event for event in events if isinstance(event, StateSaved)]


def weights_of(saved: StateSaved) -> dict[str, object]:
    content = torch.load(saved.file.path, weights_only=True)
    return {name: content[name] for name in ("backbone", "head", "optimization", "generator", "steps_done")}


def assert_equal(ours: object, theirs: object) -> None:
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert_equal(value, theirs[name])
    elif isinstance(ours, list) and isinstance(theirs, list):
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    else:
        assert ours == theirs


def test_without_stage_1_the_real_steps_of_stage_2_are_timed(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = note_training(monkeypatch)
    (predicted,) = predictions(train(files, stage1_epochs=0, stage2_epochs=3))
    assert (predicted.stage1_epochs, predicted.stage2_epochs) == (0, 3)
    assert len(set(trained)) == 1, "no copy is trained"


def note_training(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which backbone each step of stage 2 trained."""
    forward, trained = EdgeFace.forward, list[int]()

    def noting(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        if backbone.training:
            trained.append(id(backbone))
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", noting)
    return trained


@pytest.mark.slow
def test_a_resumed_training_predicts_only_where_control_has_it(files: TrainingFiles, tmp_path: Path) -> None:
    first = train(files)
    inside = [next(saved for saved in states(first) if (saved.stage, saved.step) == (stage, 1)) for stage in (1, 2)]
    for number, saved in enumerate(inside):
        resumed = replace(
            files, output_dir=tmp_path / f"resumed-{number}", resume=ResumeFrom(saved.file.path, saved.best)
        )
        assert predictions(train(resumed, predict_duration=False)) == []
        again = replace(resumed, output_dir=tmp_path / f"again-{number}")
        (predicted,) = predictions(train(again))
        assert predicted.seconds_left.likely > 0


def test_where_trial_steps_do_not_fit_the_real_ones_are_timed(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, first = EdgeFace.forward, list[int]()

    def only_the_real_one(backbone: EdgeFace, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        first.append(id(backbone))
        if backbone.training and id(backbone) != first[0]:
            raise MemoryError
        return forward(backbone, x_BCHW, products_in)

    monkeypatch.setattr(EdgeFace, "forward", only_the_real_one)
    events = train(files)
    (predicted,) = predictions(events)
    stages = [event.stage for event in events[: events.index(predicted)] if isinstance(event, EpochFinished)]
    assert stages == [1, 1, 2], "in the last epoch of stage 2, which is the second"


SIZES = Sizes(backbone=1000, objectives=100, stage1=100, stage2=100, classifier=100)
COSTS = Costs(
    stage1_step=Estimate.exactly(1.0),
    stage2_step=Estimate.exactly(3.0),
    load=5.0,
    embed_val=Estimate.exactly(20.0),
    validate=Estimate.exactly(2.0),
    measure=7.0,
    evaluation=EvaluationCosts(seconds=11.0, embeds=2.5),
    write_byte=0.0,
    sizes=SIZES,
    batches=9.5,
    save_every_seconds=60.0,
)


def likely(parts: Parts) -> tuple[float, float, float, float]:
    return parts.stage1.likely, parts.stage2.likely, parts.after.likely, parts.stage2_epoch


def test_what_is_left_is_steps_validations_and_the_measurement_after() -> None:
    config = tiny_config(stage1_epochs=5, stage2_epochs=8, val_interval=3)
    # Validated are the epochs 3 and 5, and 3, 6 and 8; only stage 2's embed val anew. The export: 2 s and two loads.
    start = parts_left(config, Position(1, 0, 0), COSTS)
    assert likely(start) == pytest.approx(
        (5 * 9.5 + 2 * 2, 8 * 9.5 * 3 + 3 * 22, 3 * 5 + 7 + 11 + 3.5 * 20 + 2 + 2 * 5, 9.5 * 3 + 3 * 22 / 8)
    )
    assert start.total.likely == pytest.approx(sum(likely(start)[:3]))
    in_stage_1 = parts_left(config, Position(1, 3, 2), COSTS)
    assert likely(in_stage_1)[:2] == pytest.approx((2 * 9.5 - 2 + 2, 8 * 9.5 * 3 + 3 * 22))
    in_stage_2 = parts_left(config, Position(2, 3, 4), COSTS)
    assert likely(in_stage_2)[:2] == pytest.approx((0, 5 * 9.5 * 3 - 4 * 3 + 2 * 22))


def test_what_is_left_counts_the_files_that_are_written() -> None:
    config = tiny_config(stage1_epochs=2, stage2_epochs=4)
    none = parts_left(config, Position(1, 0, 0), COSTS)
    written = parts_left(config, Position(1, 0, 0), replace(COSTS, write_byte=0.001))
    often = parts_left(config, Position(1, 0, 0), replace(COSTS, write_byte=0.001, save_every_seconds=10.0))
    # Half of the writing overlaps the next epoch: at best more, at worst none.
    states = 0.001 * 2 * (1000 + 3 * 100), 0.001 * 4 * 3 * 1100
    assert written.stage1.likely - none.stage1.likely == pytest.approx(0.5 * states[0])
    # Of four validations two are taken to be the best so far, at least one and at most all.
    checkpoints = 0.001 * 2100
    assert written.stage2.likely - none.stage2.likely == pytest.approx(0.5 * (states[1] + 2 * checkpoints))
    assert written.stage2.high - none.stage2.high == pytest.approx(states[1] + 4 * checkpoints)
    assert written.stage2.low - none.stage2.low == pytest.approx(0.3 * (states[1] + checkpoints))
    # An epoch of stage 2 takes 28.5 s, so two more states are saved inside it.
    assert often.stage2.likely - written.stage2.likely == pytest.approx(0.001 * 4 * 2 * 3 * 1100)


def test_a_smaller_last_batch_costs_its_share_on_a_cpu_and_a_whole_one_on_a_gpu() -> None:
    assert batches_of(100, 32, "cpu") == pytest.approx(3.125)
    assert batches_of(100, 32, "cuda") == 4
    assert batches_of(10, 32, "cpu") == 1, "the one batch is as long as the images"


def test_an_estimate_is_no_narrower_than_few_measurements_can_tell() -> None:
    same = Estimate.of([2.0, 2.0, 2.0])
    assert (same.low, same.likely, same.high) == pytest.approx((1.8, 2.0, 2.3))
    assert Estimate.of([1.0, 2.0, 6.0]) == Estimate(1.0, 2.0, 6.0)
    assert Estimate(1, 2, 3) + Estimate(10, 20, 30).times(2) == Estimate(21, 42, 63)
    assert NOTHING + Estimate.about(10.0) == Estimate(8.0, 10.0, 13.0)
