"""Charts of both stages of a training."""

from collections.abc import Callable, Sequence

from app.finetune.events import EpochFinished
from worker.training.evaluation.report.svg import Axis, Line, Mark, line_chart, round_ticks

_TRAIN, _VAL = "#d55e00", "#0072b2"


def training_curves(epochs: Sequence[EpochFinished]) -> list[str]:
    """Render loss, accuracy, verification AUC and d' by epoch. Stage 2 continues the axis of stage 1. Empty without
    epochs."""
    if not epochs:
        return []
    charts = [
        ("Loss", (("train", _TRAIN, lambda e: e.train_loss), ("val", _VAL, lambda e: e.val_loss))),
        ("Accuracy", (("train", _TRAIN, lambda e: e.train_accuracy), ("val", _VAL, lambda e: e.val_accuracy))),
        ("Verification AUC on val", (("val AUC", _VAL, lambda e: e.val_auc),)),
        ("Separation on val, d'", (("d'", _VAL, lambda e: e.val_d_prime),)),
    ]
    drawn = [_chart(title, epochs, series) for title, series in charts]
    return [chart for chart in drawn if chart is not None]


def _chart(
    title: str,
    epochs: Sequence[EpochFinished],
    series: Sequence[tuple[str, str, Callable[[EpochFinished], float | None]]],
) -> str | None:
    lines = []
    for name, colour, value in series:
        known = [(number, found) for number, each in enumerate(epochs, 1) if (found := value(each)) is not None]
        if known:
            x, y = zip(*known, strict=True)
            lines.append(Line(name, colour, x, y, dots=True))
    if not lines:
        return None
    values = [value for line in lines for value in line.y]
    low, high = min(values), max(values)
    margin = (high - low or 1.0) * 0.06
    low, high = low - margin, high + margin
    across = Axis("epoch, both stages", 1, max(2, len(epochs)), _epoch_ticks(len(epochs)))
    up = Axis(title, low, high, [(tick, f"{tick:.10g}") for tick in round_ticks(low, high)])
    first_of_stage_2 = next((number for number, each in enumerate(epochs, 1) if each.stage == 2), None)
    best = max((number for number, each in enumerate(epochs, 1) if each.best and each.stage == 2), default=None)
    marks = [Mark(first_of_stage_2 - 0.5, "stage 2")] if first_of_stage_2 is not None and first_of_stage_2 > 1 else []
    return line_chart(title, across, up, lines, marks + ([] if best is None else [Mark(best, "exported")]))


def _epoch_ticks(epochs: int) -> list[tuple[float, str]]:
    step = max(1, -(-epochs // 10))
    return [(number, str(number)) for number in range(1, epochs + 1, step)]
