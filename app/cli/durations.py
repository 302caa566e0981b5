"""Durations, memory and disk as a person at a terminal reads them."""

from app.api_models.dry_run import EstimateView
from app.api_models.durations import ActualView, PredictedView
from app.deletion import size_in_words


def seconds_in_words(seconds: float) -> str:
    """9.5 s, 95 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def predicted_line(predicted: PredictedView) -> str:
    """What a job says near its start."""
    epochs = predicted.stage1_epochs + predicted.stage2_epochs
    return (
        f"predicted: {seconds_in_words(predicted.likely)} ({seconds_in_words(predicted.low)} to "
        f"{seconds_in_words(predicted.high)}) for all {epochs} epochs; early stopping makes it shorter"
    )


def actual_line(predicted: PredictedView | None, actual: ActualView) -> str:
    """What it then took, beside what was said of that much work."""
    line = f"actual: {seconds_in_words(actual.seconds)} of work"
    if predicted is None or predicted.for_epochs_trained is None or actual.off_by is None:
        return line
    said = f"{seconds_in_words(predicted.for_epochs_trained)} predicted"
    early = predicted.for_epochs_trained < predicted.likely
    return f"{line}, {said}{' for the epochs trained' if early else ''} ({actual.off_by:+.0%})"


def measured_lines(measured: EstimateView) -> list[str]:
    """What `submit --dry-run=measure` prints."""
    seconds, parts = measured.seconds, measured.seconds_by_part
    epochs = measured.stage1_epochs + measured.stage2_epochs
    by_part = ", ".join(f"{name} {seconds_in_words(value)}" for name, value in parts.model_dump().items())
    device = "" if measured.device_bytes is None else f", {size_in_words(measured.device_bytes)} on the GPU"
    return [
        f"time: {seconds_in_words(seconds.likely)} ({seconds_in_words(seconds.low)} to "
        f"{seconds_in_words(seconds.high)}) on {measured.device} for all {epochs} epochs; "
        "early stopping makes it shorter",
        f"  {by_part}",
        f"memory: {size_in_words(measured.process_bytes)} of the process{device}",
        f"disk: {size_in_words(measured.prepared_bytes)} of prepared faces, {size_in_words(measured.state_bytes)} of "
        f"training states while it runs, {size_in_words(measured.checkpoint_bytes)} a checkpoint",
    ]
