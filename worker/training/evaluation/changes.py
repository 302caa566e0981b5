"""Effect of the fine-tuning and of the DSR: better, worse, not distinguishable, or too little data."""

from typing import Literal

from app.finetune.evaluation import Change, Comparison, Estimate, Outcome
from worker.training.evaluation.comparison import Compared
from worker.training.evaluation.estimates import FEWEST_SUBJECTS, difference, percent
from worker.training.evaluation.verification import FARS, recommended_of

MEASURED_AT = (0.01, 0.1)
"""The FAR at which two systems are compared: the first for which there are enough pairs."""

_OF = {"fine-tuning": "The fine-tuning", "DSR": "The DSR"}


def change(of: Literal["fine-tuning", "DSR"], without: Compared, with_: Compared, *, against: str) -> Change:
    """Compare TAR at FAR 1 %, or 10 % if there are too few pairs. `against` describes `without` in words.

    The outcome is better or worse if the 95 % interval of the paired difference (the same subjects drawn for both)
    excludes zero.
    """
    far = next((far for far in MEASURED_AT if without.comparison.tar_at(far).tar.value is not None), None)
    if far is None:
        pairs = without.comparison.verification.impostor_pairs
        sentence = f"Too few pairs to measure the effect of {_OF[of].lower()}: {pairs:,} impostor pairs"
        nothing = without.comparison.tar_at(FARS[0]).tar
        return _change(of, "too little data", f"{sentence}.", None, nothing, nothing, nothing)
    before, after = (each.comparison.tar_at(far).tar for each in (without, with_))
    found = difference(
        before, after, *(None if each.draws is None else each.draws.tar[far] for each in (without, with_))
    )
    measure = f"TAR@FAR={percent(far)}"
    paired = without.comparison.verification.paired_subjects
    subjects = f"{paired} subject{'s' if paired != 1 else ''}"
    outcome = _outcome(found)
    numbers = f"{measure} of VLR probes against the HR gallery {_movement(before, after)}"
    if outcome == "too little data":
        few = f"{subjects} with genuine pairs, at least {FEWEST_SUBJECTS} needed"
        sentence = f"Too few subjects to measure the effect of {_OF[of].lower()} ({few}): {numbers}."
    else:
        claim = {
            "better": f"{_OF[of]} makes recognition better than {against}",
            "worse": f"{_OF[of]} makes recognition WORSE than {against}",
            "not distinguishable": f"{_OF[of]} is not distinguishable from {against}",
        }[outcome]
        sentence = f"{claim}: {numbers} (difference {_signed(found)}, {subjects} with genuine pairs)."
    return _change(of, outcome, sentence, measure, before, after, found)


def recommended_threshold(comparison: Comparison) -> float | None:
    """Return the threshold to use: see `recommended_of`."""
    best = comparison.verification.best_accuracy
    return recommended_of(comparison.verification.operating_points, None if best is None else best.threshold)


def with_interval(estimate: Estimate) -> str:
    """Format as `0.783 [0.701, 0.852]`, as `0.783` without an interval, or as `too few pairs` without a value."""
    if estimate.value is None:
        return estimate.in_a_word
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.interval.low:.3f}, {estimate.interval.high:.3f}]"


def _change(
    of: Literal["fine-tuning", "DSR"],
    outcome: Outcome,
    sentence: str,
    measure: str | None,
    baseline: Estimate,
    achieved: Estimate,
    found: Estimate,
) -> Change:
    return Change(
        of=of,
        outcome=outcome,
        sentence=sentence,
        measure=measure,
        baseline=baseline,
        achieved=achieved,
        difference=found,
    )


def _outcome(found: Estimate) -> Outcome:
    if found.interval is None:
        return "too little data"
    if found.interval.low > 0:
        return "better"
    return "worse" if found.interval.high < 0 else "not distinguishable"


def _movement(before: Estimate, after: Estimate) -> str:
    assert before.value is not None and after.value is not None  # noqa: S101 - one set of pairs
    went = "rose" if after.value > before.value else "fell" if after.value < before.value else "stayed"
    return f"{went} from {with_interval(before)} to {with_interval(after)}"


def _signed(found: Estimate) -> str:
    assert found.value is not None and found.interval is not None  # noqa: S101 - an outcome needs both
    return f"{found.value:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}]"
