"""The benchmark compares the durations of the epochs trained; too large a median error misses the target."""

import pytest

from app.api_models.dry_run import EstimateView
from app.api_models.durations import ActualView, PredictedView
from benchmarks.duration_prediction import JobDurations, outcome_of

ESTIMATED = EstimateView.model_validate(
    {
        "seconds": {"low": 90, "likely": 120, "high": 150},
        "seconds_by_part": {"start": 1, "prepare": 9, "before": 5, "stage1": 20, "stage2": 80, "after": 5},
        "stage1_epochs": 2,
        "stage2_epochs": 10,
        "stage2_epoch_seconds": 8.0,
        "device": "cpu",
        "images_enlarged": 10,
        "process_bytes": 1,
        "device_bytes": None,
        "prepared_bytes": 1,
        "state_bytes": 1,
        "checkpoint_bytes": 1,
    }
)


def durations(actual: float, *, left_out: int = 0) -> JobDurations:
    """A job predicted to take 100 s (80 to 120), whose epochs of stage 2 take 8 s each."""
    compared = 100.0 - 8.0 * left_out
    predicted = PredictedView(
        low=80,
        likely=100,
        high=120,
        stage1_epochs=2,
        stage2_epochs=10,
        stage2_epoch_seconds=8.0,
        predicted_after=5.0,
        for_epochs_trained=compared,
    )
    return JobDurations(
        {"dataset": "d", "seed": 1},
        ESTIMATED,
        predicted,
        ActualView(seconds=actual, off_by=actual / compared - 1),
        left_out,
    )


def test_a_job_that_stopped_early_is_compared_by_the_epochs_it_trained() -> None:
    early = durations(66.0, left_out=5)
    assert early.error == pytest.approx(0.1)
    assert early.error_beforehand == pytest.approx(66 / (120 - 40) - 1)
    assert early.in_range
    assert "5 epochs left out" in " ".join(early.row())
    assert not durations(66.0).in_range


@pytest.mark.parametrize(("actual", "met"), [(114.9, True), (115.1, False), (85.1, True), (84.9, False)])
def test_a_median_error_of_15_percent_is_too_much(actual: float, met: bool) -> None:
    outcome = outcome_of([durations(actual), durations(actual), durations(200.0)])
    itself, _ = outcome.targets
    assert itself.met == met
    assert outcome.figures["median_error"] == pytest.approx(abs(actual - 100) / 100)
    assert outcome.figures["in_range"] == 2
