"""Estimates with confidence intervals, or with the reason for a refusal."""

import numpy as np

from app.finetune.evaluation import Estimate, Interval
from worker.training.metrics.bootstrap import interval
from worker.training.metrics.faces import Doubles
from worker.training.metrics.verification import FEWEST_ERRORS, pairs_needed

FEWEST_SUBJECTS = 5
"""Fewest subjects for an interval. Only subjects with a genuine pair or a mated search count, since the others do not
affect the rates."""

FEW_SUBJECTS = 20
"""With fewer subjects the interval comes with a warning: a percentile interval of few subjects is too narrow."""


def estimate(value: float | None, draws_B: Doubles | None, refused: str) -> Estimate:
    """Build an estimate. `refused` is the reason if there is no value. `draws_B` is None with too few subjects for an
    interval."""
    if value is None:
        return Estimate(refused=refused)
    return Estimate(value=value, interval=None if draws_B is None else _interval(draws_B))


def difference(without: Estimate, with_: Estimate, without_B: Doubles | None, with_B: Doubles | None) -> Estimate:
    """Return the paired difference of two systems that share subjects and draws."""
    if without.value is None or with_.value is None:
        return Estimate(refused=without.refused or with_.refused)
    draws_B = None if without_B is None or with_B is None else with_B - without_B
    return estimate(with_.value - without.value, draws_B, "")


def too_few(comparisons: int, kind: str, rate: float, name: str) -> str:
    """Return why a rate is not given: `too few pairs: 900 impostor pairs, and FAR 1% needs 1,000 (10 errors)`."""
    needed = pairs_needed(rate)
    return (
        f"too few {kind.split()[-1]}: {comparisons:,} {kind}, and {name} {percent(rate)} needs {needed:,} "
        f"({FEWEST_ERRORS} errors)"
    )


def percent(rate: float) -> str:
    return f"{100 * rate:g}%"


def _interval(draws_B: Doubles) -> Interval | None:
    found = interval(np.asarray(draws_B))
    return None if found is None else Interval(low=found.low, high=found.high)
