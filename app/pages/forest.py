"""Forest plots: a figure and its interval in each row, on one axis, as SVG at two widths."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.finetune.evaluation import Estimate
from app.pages.formats import interval, rate, signed, signed_interval

ROW, PAD = 36, 4
_WIDE, _NARROW = 472, 311


@dataclass(frozen=True)
class Row:
    """`style` is the number of the series' colour and dashes; 0 is that of the weights before."""

    label: str
    style: int
    estimate: Estimate


@dataclass(frozen=True)
class PlacedRow:
    label: str
    style: int
    y: int
    x: float
    low: float | None
    high: float | None
    figure: str
    interval: str


@dataclass(frozen=True)
class Forest:
    """One drawing: `ticks` are places and labels of the axis, `zero` the place of 0 in a plot of differences."""

    width: int
    height: int
    left: float
    figures_at: float
    rows: list[PlacedRow]
    ticks: list[tuple[float, str]]
    zero: float | None


def forests(rows: Sequence[Row], *, label_width: int = 76) -> list[tuple[str, Forest]]:
    """Return the drawings of rates in 0..1 for wide and narrow screens, by their class. Rows without a value are left
    out."""
    shown = [row for row in rows if row.estimate.value is not None]
    return [(name, _forest(shown, width, label_width, (0.0, 1.0), False)) for name, width in _WIDTHS]


def difference_forests(rows: Sequence[Row], *, label_width: int = 76) -> list[tuple[str, Forest]]:
    """Return the drawings of differences, as `forests`. The axis spans all intervals and 0."""
    shown = [row for row in rows if row.estimate.value is not None]
    ends = [end for row in shown for end in _ends(row.estimate)]
    low, high = min([-0.1, *ends]), max([0.1, *ends])
    return [(name, _forest(shown, width, label_width, (low, high), True)) for name, width in _WIDTHS]


_WIDTHS = (("wide", _WIDE), ("narrow", _NARROW))


def _ends(estimate: Estimate) -> list[float]:
    found = estimate.interval
    return [each for each in (estimate.value,) if each is not None] if found is None else [found.low, found.high]


def _forest(rows: Sequence[Row], width: int, label_width: int, span: tuple[float, float], is_signed: bool) -> Forest:
    left, right = label_width + 8.0, width - 112.0
    low, high = span

    def place(value: float) -> float:
        return round(left + (value - low) / (high - low) * (right - left), 1)

    placed = []
    for index, row in enumerate(rows):
        value, found = row.estimate.value or 0.0, row.estimate.interval
        placed.append(
            PlacedRow(
                label=row.label,
                style=row.style,
                y=PAD + 16 + ROW * index,
                x=place(value),
                low=None if found is None else place(found.low),
                high=None if found is None else place(found.high),
                figure=signed(value) if is_signed else rate(value),
                interval="" if found is None else signed_interval(found) if is_signed else interval(found),
            )
        )
    return Forest(
        width=width,
        height=PAD + ROW * len(rows) + 26,
        left=left,
        figures_at=right + 14,
        rows=placed,
        ticks=[
            (place(tick), signed(tick, 1) if is_signed and tick else f"{tick:.1f}") for tick in _ticks(low, high, width)
        ],
        zero=place(0.0) if is_signed else None,
    )


def _ticks(low: float, high: float, width: int) -> list[float]:
    most = 6 if width == _WIDE else 3
    step = next((each for each in (0.1, 0.2, 0.5, 1.0) if (high - low) / each <= most), 1.0)
    first, last = -int(-low / step + 1e-9) if low < 0 else 0, int(high / step + 1e-9)
    return [round(step * number, 1) for number in range(first, last + 1)]
