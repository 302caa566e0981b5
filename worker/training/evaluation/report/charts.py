"""Charts of an evaluation: ROC (receiver operating characteristic), DET (detection error trade-off), CMC (cumulative
match characteristic) and score histograms."""

from collections.abc import Sequence

import numpy as np

from app.finetune.evaluation import Comparison, Evaluation, Images
from worker.training.evaluation.report.svg import Axis, Line, Mark, line_chart, log_ticks, percent_ticks, round_ticks
from worker.training.evaluation.wording import BACKBONES, IMAGES

# Okabe and Ito's colours, which colour-blind people can distinguish.
_COLOURS: dict[Images, str] = {"hr": "#555555", "direct": "#e69f00", "bicubic": "#0072b2", "dsr": "#009e73"}
_GENUINE, _IMPOSTOR = "#0072b2", "#d55e00"

_LOWEST_FAR = 1e-4


def charts(evaluation: Evaluation) -> list[str]:
    """Render the charts of VLR probes against the HR gallery, and of the last backbone's HR ceiling."""
    last = evaluation.comparisons[-1].backbone
    shown = [
        each
        for each in evaluation.comparisons
        if each.gallery == "hr" and (each.probes != "hr" or each.backbone == last)
    ]
    histograms = [each for each in shown if each.probes == evaluation.in_use]
    return [
        _roc(shown),
        _det(shown),
        _cmc(shown),
        *(_histogram(each, evaluation.recommended_threshold if each.backbone == last else None) for each in histograms),
    ]


def _name(comparison: Comparison) -> str:
    images = IMAGES[comparison.probes]
    return images if comparison.backbone == "given" else f"{images}, {BACKBONES[comparison.backbone]}"


def _far_axis() -> Axis:
    return Axis("FAR: impostor pairs accepted", _LOWEST_FAR, 1, log_ticks(_LOWEST_FAR, 1), log=True)


def _lines(shown: Sequence[Comparison], *, misses: bool) -> list[Line]:
    lines = []
    for each in shown:
        if each.verification.roc is not None:
            far, tar = each.verification.roc.far, each.verification.roc.tar
            y = [1 - rate for rate in tar] if misses else tar
            colour, dashed = _COLOURS[each.probes], each.backbone == "before"
            lines.append(Line(_name(each), colour, far, y, dashed=dashed, step=True))
    return lines


def _roc(shown: Sequence[Comparison]) -> str:
    y = Axis("TAR: genuine pairs accepted", 0, 1, percent_ticks(0, 1))
    return line_chart("ROC, FAR on a logarithmic axis", _far_axis(), y, _lines(shown, misses=False))


def _det(shown: Sequence[Comparison]) -> str:
    y = Axis("FRR: genuine pairs rejected", 1e-3, 1, log_ticks(1e-3, 1), log=True)
    return line_chart("DET, both axes logarithmic", _far_axis(), y, _lines(shown, misses=True))


def _cmc(shown: Sequence[Comparison]) -> str:
    curves = {_name(each): each.identification.closed_set[0].cmc for each in shown}
    ranks = max([2, *map(len, curves.values())])
    lowest = min([1.0, *(rate for cmc in curves.values() for rate in cmc)])
    floor = min(0.9, float(np.floor(10 * lowest) / 10))
    x = Axis("rank", 1, ranks, [(rank, str(rank)) for rank in (1, 2, 5, 10, 15, 20) if rank <= ranks])
    y = Axis("own subject among the first", floor, 1, percent_ticks(floor, 1))
    lines = [
        Line(
            _name(each),
            _COLOURS[each.probes],
            list(range(1, len(curves[_name(each)]) + 1)),
            curves[_name(each)],
            dashed=each.backbone == "before",
            dots=True,
        )
        for each in shown
    ]
    return line_chart("CMC, one gallery image per subject", x, y, lines)


def _histogram(comparison: Comparison, threshold: float | None) -> str:
    histogram = comparison.verification.histogram
    edges = np.linspace(-1, 1, len(histogram.genuine) + 1)
    shares = {
        name: np.array(counts) / max(1, sum(counts))
        for name, counts in (("genuine pairs", histogram.genuine), ("impostor pairs", histogram.impostor))
    }
    filled = np.flatnonzero(sum(shares.values()))
    low, high = (float(edges[filled[0]]), float(edges[filled[-1] + 1])) if len(filled) else (-1.0, 1.0)
    top = 1.1 * max(0.01, *(float(share.max()) for share in shares.values()))
    x = Axis("cosine", low, high, [(tick, f"{tick:.2g}") for tick in round_ticks(low, high)])
    y = Axis("share of the pairs", 0, top, percent_ticks(0, top))
    lines = [
        Line(name, colour, edges.tolist(), [*share.tolist(), 0.0], step=True, filled=True)
        for (name, share), colour in zip(shares.items(), (_GENUINE, _IMPOSTOR), strict=True)
    ]
    marks = [] if threshold is None else [Mark(threshold, f"threshold {threshold:.3f}")]
    d_prime = comparison.verification.d_prime
    apart = "" if d_prime is None else f", d' {d_prime:.2f}"
    return line_chart(f"Scores: {_name(comparison)} against HR{apart}", x, y, lines, marks)
