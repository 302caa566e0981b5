"""The difference in recognition between two evaluations of the same people, with its interval."""

from app.finetune.evaluation import Estimate, Evaluation, Interval, Outcome, PairedDraws

LEVEL = 0.95


def tar_in_use(evaluation: Evaluation, far: float) -> Estimate:
    """Return TAR at this FAR of the comparison in use: VLR probes, enlarged as in use, against the HR gallery, by the
    newest backbone."""
    found = next(
        each
        for each in reversed(evaluation.comparisons)
        if each.gallery == "hr" and each.probes == evaluation.in_use and each.backbone != "before"
    )
    return found.tar_at(far).tar


def paired_difference(first: PairedDraws, second: PairedDraws, baseline: Estimate, achieved: Estimate) -> Estimate:
    """Return the rate of `second` minus that of `first`, with the 95 % interval of the draws' differences.

    As worker/training/metrics/bootstrap.py computes an interval within one evaluation.
    """
    assert baseline.value is not None and achieved.value is not None  # noqa: S101 - draws are kept with a rate alone
    pairs = zip(first.tar, second.tar, strict=True)
    differences = sorted(after - before for before, after in pairs if before is not None and after is not None)
    interval = None
    if differences and 2 * len(differences) >= len(first.tar):
        low, high = (_quantile(differences, share) for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        interval = Interval(low=low, high=high)
    return Estimate(value=achieved.value - baseline.value, interval=interval)


def outcome_of(difference: Estimate) -> Outcome:
    """Return `better` or `worse` where the interval excludes zero."""
    if difference.interval is None:
        return "too little data"
    if difference.interval.low > 0:
        return "better"
    return "worse" if difference.interval.high < 0 else "not distinguishable"


def _quantile(ascending: list[float], share: float) -> float:
    """Linear between two values, as numpy.quantile."""
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (place - below)
