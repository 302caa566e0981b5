"""Line charts as inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 480, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 12, 44
_SMALLEST_LOG = 1e-12


@dataclass(frozen=True)
class Axis:
    """An axis. `ticks` are pairs of value and text. A logarithmic axis hides values below `low`."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def share(self, value: float) -> float:
        """Return the position of a value on the axis, clipped to [0, 1]."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(each, _SMALLEST_LOG)) for each in (value, low, high))
        return min(1.0, max(0.0, (value - low) / (high - low)))


@dataclass(frozen=True)
class Line:
    """A line. `step` draws stairs, `filled` shades the area below."""

    name: str
    colour: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    step: bool = False
    filled: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A vertical line at `x`."""

    x: float
    text: str


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> str:
    """Render a `<figure>` with the chart and its legend."""
    body = [
        *_grid(x, y),
        *(_line(line, x, y) for line in lines),
        *(_mark(mark, x, row) for row, mark in enumerate(marks)),
    ]
    legend = "".join(f"<span>{_swatch(line)}{escape(line.name)}</span>" for line in lines)
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg>'
        f'<div class="legend">{legend}</div></figure>'
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Return at most seven ticks: multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return [step * number + 0.0 for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def percent_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round ticks, labelled in percent."""
    return [(value, f"{100 * value:.4g}%") for value in round_ticks(low, high)]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return the powers of ten, labelled in percent."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [(10.0**power, f"{100 * 10.0**power:g}%") for power in range(first, last + 1)]


def _swatch(line: Line) -> str:
    # No style attribute: a Content-Security-Policy has no hash for it.
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    return f'<svg viewBox="0 0 24 3"><path d="M0 1.5H24" stroke="{line.colour}" stroke-width="3"{dash}/></svg>'


def _px(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _py(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _grid(x: Axis, y: Axis) -> list[str]:
    left, right, bottom, top = _px(0), _px(1), _py(0), _py(1)
    parts = []
    for value, text in x.ticks:
        at = _px(x.share(value))
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{top}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(text)}</text>')
    for value, text in y.ticks:
        at = _py(y.share(value))
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    middle = (_py(0) + _py(1)) / 2
    parts.append(f'<text class="axis" x="{_px(0.5)}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(
        f'<text class="axis" transform="rotate(-90 12 {middle})" x="12" y="{middle}" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    parts.append(f'<path class="frame" d="M{left} {top}V{bottom}H{right}"/>')
    return parts


def _line(line: Line, x: Axis, y: Axis) -> str:
    points = [(_px(x.share(a)), _py(y.share(b))) for a, b in zip(line.x, line.y, strict=True)]
    if not points:
        return ""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for across, up in points[1:]:
        path += f"H{across:.1f}V{up:.1f}" if line.step else f"L{across:.1f} {up:.1f}"
    dash = ' stroke-dasharray="6 4"' if line.dashed else ""
    drawn = f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'
    if line.filled:
        closed = f"{path}V{_py(0):.1f}H{points[0][0]:.1f}Z"
        drawn = f'<path d="{closed}" fill="{line.colour}" fill-opacity="0.25"/>{drawn}'
    if line.dots:
        drawn += "".join(
            f'<circle cx="{across:.1f}" cy="{up:.1f}" r="2.6" fill="{line.colour}"/>' for across, up in points
        )
    return drawn


def _mark(mark: Mark, x: Axis, row: int) -> str:
    """Render a mark. Each text has a row of its own, since marks may be close together."""
    at, leftwards = _px(x.share(mark.x)), x.share(mark.x) > 0.6
    return (
        f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_py(0)}" y2="{_py(1)}"/>'
        f'<text class="mark" x="{at - 5 if leftwards else at + 5:.1f}" y="{_py(1) + 12 + 15 * row}" '
        f'text-anchor="{"end" if leftwards else "start"}">{escape(mark.text)}</text>'
    )
