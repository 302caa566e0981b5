"""The sentence that opens a comparison of jobs: which to take, and whether its lead is real."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from app.api_models.comparison import JobComparison
from app.finetune.evaluation import Change
from app.pages.formats import signed, signed_interval


class Measured(Protocol):
    @property
    def title(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def change(self) -> Change | None: ...
    @property
    def rate(self) -> float | None: ...


_Job = TypeVar("_Job", bound=Measured)


def ranked(jobs: Sequence[_Job]) -> list[_Job]:
    """Return the jobs that are measured, the best first."""
    return sorted((job for job in jobs if job.rate is not None), key=lambda job: job.rate or 0.0, reverse=True)


def sentence(jobs: Sequence[Measured], lead: JobComparison | None) -> tuple[str, str]:
    """Return what is so, and how sure it is. `lead` compares the second best job with the best on the same people; None
    where they cannot be compared so."""
    measured = ranked(jobs)
    if len(measured) < 2:
        return "Too few of them are measured to say which is the best.", "A job is measured when it has succeeded."
    if len({job.dataset for job in measured}) > 1:
        return (
            "They were measured on different people.",
            "Their rates cannot be compared: evaluate them on one dataset.",
        )
    best, second = measured[0], measured[1]
    if best.rate == second.rate:
        return f"{best.title} and {second.title} recognise people equally well.", ""
    return _lead(best, measured), _certainty(best, second) if lead is None else _paired_certainty(second, lead)


def _lead(best: Measured, measured: Sequence[Measured]) -> str:
    better = [job for job in measured if job.change is not None and job.change.outcome == "better"]
    if better == [best]:
        return f"{best.title} is the best, and the only one better than before."
    if best.change is not None and best.change.outcome == "worse":
        return f"{best.title} is the best, and still worse than before."
    return f"{best.title} is the best."


def _paired_certainty(second: Measured, lead: JobComparison) -> str:
    difference, found = lead.difference.value, lead.difference.interval
    if difference is None or found is None:
        return "There are too few people for an interval: its lead may be chance."
    figures = f"{signed(difference)} {signed_interval(found)} on the same {lead.people} people"
    if lead.outcome == "better":
        return f"Its lead over {second.title} is no chance: {figures}."
    return f"Its lead over {second.title} may be chance: {figures}."


def _certainty(best: Measured, second: Measured) -> str:
    ends = [job.change.achieved.interval if job.change is not None else None for job in (best, second)]
    if ends[0] is None or ends[1] is None:
        return "There are too few people for an interval: its lead may be chance."
    if ends[0].low <= ends[1].high:
        return f"Its lead over {second.title} may be chance: their intervals overlap."
    return f"Its lead over {second.title} is no chance: their intervals lie apart."
