"""A small curve of a job's score by epoch, on its own scale."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 96, 32, 4


@dataclass(frozen=True)
class Sparkline:
    """An SVG of 96 x 32: the path of the curve, the place of the best epoch, and the height of the score before."""

    path: str
    best_x: float
    best_y: float
    before_y: float | None
    label: str


def sparkline(scores: Sequence[tuple[int, float]], before: float | None) -> Sparkline | None:
    """Return the curve of (epoch, score), None with fewer than two epochs."""
    if len(scores) < 2:
        return None
    values = [score for _, score in scores] + ([] if before is None else [before])
    low, high = min(values), max(values)
    first, last = scores[0][0], scores[-1][0]

    def x(epoch: int) -> float:
        return round(3 + (WIDTH - 8) * (epoch - first) / max(1, last - first), 1)

    def y(score: float) -> float:
        share = (score - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - MARGIN - 2 - share * (HEIGHT - 2 * MARGIN - 2), 1)

    best_epoch, best = max(scores, key=lambda each: each[1])
    return Sparkline(
        path="M" + "L".join(f"{x(epoch)} {y(score)}" for epoch, score in scores),
        best_x=x(best_epoch),
        best_y=y(best),
        before_y=None if before is None else y(before),
        label=f"Score by epoch: best {best:.4f} at epoch {best_epoch} of {last}",
    )
