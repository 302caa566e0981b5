"""Renders an evaluation as a text table."""

from collections.abc import Iterator

from app.finetune.evaluation import NO_PAIRS, Comparison, Estimate, Evaluation, OperatingPoint
from worker.training.evaluation.changes import with_interval
from worker.training.evaluation.estimates import percent
from worker.training.evaluation.wording import BACKBONES, IMAGES, guides_accuracy

_WITH_INTERVAL = 0.01


def render_table(evaluation: Evaluation) -> str:
    """Render the table, the warnings and the verdict."""
    people = evaluation.people
    headings, *rows = _cells(evaluation)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [
        f"{people.subjects} subjects, {people.vlr_images} VLR probes ({', '.join(people.sizes)}), "
        f"{people.hr_images} HR images of {people.directory}; {evaluation.variant}, enlargement "
        f"{evaluation.enlargement}{', tta' if evaluation.tta else ''}",
        "",
        _line(headings, widths),
        *(_line(row, widths) for row in rows),
        "",
        "TAR@1%: with its 95% interval over subjects; rank-1: one gallery image per subject; "
        f"id@{evaluation.threshold:g}: probes whose best match is their own subject, at that cosine (the guide's "
        "accuracy, at its fixed threshold)",
        *(f"Warning ({warning.code}): {warning.message}" for warning in evaluation.warnings),
        "",
        evaluation.verdict,
    ]
    return "\n".join(lines)


def _cells(evaluation: Evaluation) -> Iterator[list[str]]:
    first = evaluation.comparisons[0]
    fars = [f"TAR@{percent(point.far)}" for point in first.verification.operating_points]
    fpirs = [f"DIR@{percent(point.fpir)}" for point in first.identification.open_set]
    yield ["backbone", "probes", "gallery", "AUC", "EER", *fars, "rank-1", *fpirs, f"id@{evaluation.threshold:g}"]
    for each in evaluation.comparisons:
        yield _row(each, evaluation.threshold)


def _row(comparison: Comparison, threshold: float) -> list[str]:
    verification, identification = comparison.verification, comparison.identification
    guides = guides_accuracy(comparison, threshold)
    return [
        BACKBONES[comparison.backbone],
        IMAGES[comparison.probes],
        IMAGES[comparison.gallery],
        _short(verification.auc, 4),
        _short(verification.eer),
        *(_tar(point) for point in verification.operating_points),
        _short(identification.closed_set[0].rank1),
        *(_short(point.dir) for point in identification.open_set),
        NO_PAIRS if guides is None else f"{guides:.3f}",
    ]


def _tar(point: OperatingPoint) -> str:
    has_interval = point.far == _WITH_INTERVAL and point.tar.value is not None
    return with_interval(point.tar) if has_interval else _short(point.tar)


def _short(estimate: Estimate, digits: int = 3) -> str:
    return estimate.in_a_word if estimate.value is None else f"{estimate.value:.{digits}f}"


def _line(cells: list[str], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
