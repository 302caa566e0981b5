"""Durations, memory and disk in words."""

from humanize import naturalsize, precisedelta

from app.api_models.dry_run import EstimateView
from app.api_models.durations import ActualView, PredictedView


def duration_text(seconds: float) -> str:
    """Return 9.5 seconds, 1 minute and 35 seconds, or 3 hours and 20 minutes."""
    unit = "seconds" if seconds < 3600 else "minutes"
    return precisedelta(seconds, minimum_unit=unit, format="%.1f" if seconds < 10 else "%.0f")


def predicted_line(predicted: PredictedView) -> str:
    epochs = predicted.stage1_epochs + predicted.stage2_epochs
    return (
        f"predicted: {duration_text(predicted.likely)} ({duration_text(predicted.low)} to "
        f"{duration_text(predicted.high)}) for {_all_epochs(epochs, predicted.can_stop_early)}"
    )


def actual_line(predicted: PredictedView | None, actual: ActualView) -> str:
    """The actual duration, and the prediction for the epochs that were trained."""
    line = f"actual: {duration_text(actual.seconds)} of work"
    if predicted is None or predicted.for_epochs_trained is None or actual.off_by is None:
        return line
    early = predicted.for_epochs_trained < predicted.likely
    return (
        f"{line}, {duration_text(predicted.for_epochs_trained)} predicted"
        f"{' for the epochs trained' if early else ''} ({actual.off_by:+.0%})"
    )


def estimate_lines(estimate: EstimateView) -> list[str]:
    """The output of `submit --dry-run=estimate`."""
    seconds, parts = estimate.seconds, estimate.seconds_by_part
    epochs = estimate.stage1_epochs + estimate.stage2_epochs
    by_part = ", ".join(f"{name} {duration_text(value)}" for name, value in parts.model_dump().items())
    device = "" if estimate.device_bytes is None else f", {naturalsize(estimate.device_bytes)} on the GPU"
    return [
        f"time: {duration_text(seconds.likely)} ({duration_text(seconds.low)} to {duration_text(seconds.high)}) on "
        f"{estimate.device} for {_all_epochs(epochs, estimate.can_stop_early)}",
        f"  {by_part}",
        f"memory: {naturalsize(estimate.process_bytes)} of the process{device}",
        f"disk: {naturalsize(estimate.prepared_bytes)} of prepared faces, {naturalsize(estimate.state_bytes)} of "
        f"training states while it runs, {naturalsize(estimate.checkpoint_bytes)} per checkpoint",
    ]


def _all_epochs(epochs: int, can_stop_early: bool | None) -> str:
    """`can_stop_early` is None where an older version did not note it."""
    all_epochs = "the one epoch" if epochs == 1 else f"all {epochs} epochs"
    return f"{all_epochs}; early stopping makes it shorter" if can_stop_early else all_epochs
