"""The table of all rates of an evaluation, before and after."""

from dataclasses import dataclass

from app.api_models.metrics import RecognitionChange
from app.finetune.evaluation import Comparison, Estimate, Evaluation
from app.finetune.events import Recognition


@dataclass(frozen=True)
class RateRow:
    """One measure. `digits`: of its figures. `term`: its hint in words.MEANINGS."""

    title: str
    before: Estimate | None
    after: Estimate
    digits: int = 3
    term: str = ""
    difference: Estimate | None = None


_FAR_TITLES = {0.1: "TAR at FAR 10%", 0.01: "TAR at FAR 1%", 0.001: "TAR at FAR 0.1%", 0.0001: "TAR at FAR 0.01%"}


def rate_rows(evaluation: Evaluation | None, recognition: RecognitionChange) -> list[RateRow]:
    """Return the rows of an evaluation; without one those of the job's own measurements, which have no intervals."""
    if evaluation is None:
        return _of_recognition(recognition)
    after = _comparison(evaluation, "after", evaluation.in_use) or _comparison(evaluation, "given", evaluation.in_use)
    before = _comparison(evaluation, "before", evaluation.in_use)
    if after is None:
        return []
    rows = []
    for point in after.verification.operating_points:
        if point.far not in _FAR_TITLES:
            continue
        was = None if before is None else before.tar_at(point.far).tar
        measured = f"TAR@FAR={point.far:.0%}"
        change = next((each for each in evaluation.changes if each.measure == measured), None)
        term = "tar" if point.far == 0.01 else ""
        rows.append(
            RateRow(
                _FAR_TITLES[point.far],
                was,
                point.tar,
                term=term,
                difference=change.difference if change is not None else _difference(was, point.tar),
            )
        )
    of_after, of_before = _rank1(after), None if before is None else _rank1(before)
    if of_after is not None:
        rows.append(RateRow("Rank-1", of_before, of_after, term="rank1", difference=_difference(of_before, of_after)))
    was = None if before is None else before.verification.auc
    is_now = after.verification.auc
    rows.append(RateRow("AUC", was, is_now, digits=4, term="auc", difference=_difference(was, is_now)))
    return rows


def _comparison(evaluation: Evaluation, backbone: str, probes: str) -> Comparison | None:
    wanted = (backbone, probes, "hr")
    return next((row for row in evaluation.comparisons if (row.backbone, row.probes, row.gallery) == wanted), None)


def _rank1(comparison: Comparison) -> Estimate | None:
    of_one = [each for each in comparison.identification.closed_set if each.mates == "one"]
    return of_one[0].rank1 if of_one else None


def _difference(before: Estimate | None, after: Estimate) -> Estimate | None:
    if before is None or before.value is None or after.value is None:
        return None
    return Estimate(value=after.value - before.value)


def _of_recognition(change: RecognitionChange) -> list[RateRow]:
    newest = change.after or change.before
    if newest is None:
        return []
    before = change.before if change.after is not None else None
    measures = (
        ("TAR at FAR 1%", "tar_at_far_1_percent", 3, "tar"),
        ("Rank-1", "rank1", 3, "rank1"),
        ("AUC", "auc", 4, "auc"),
    )
    rows = []
    for title, field, digits, term in measures:
        after, was = _estimate(newest, field), None if before is None else _estimate(before, field)
        rows.append(RateRow(title, was, after, digits, term, _difference(was, after)))
    return rows


def _estimate(recognition: Recognition, field: str) -> Estimate:
    value: float | None = getattr(recognition, field)
    return Estimate(value=value, refused="too few pairs" if value is None else None)
