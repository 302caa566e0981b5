"""The sentence that opens a comparison of jobs: which to take, and whether its lead is real."""

from collections.abc import Sequence
from typing import Protocol

from app.finetune.evaluation import Change


class Measured(Protocol):
    @property
    def title(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def change(self) -> Change | None: ...
    @property
    def rate(self) -> float | None: ...


def sentence(jobs: Sequence[Measured]) -> tuple[str, str]:
    """Return what is so, and how sure it is."""
    measured = sorted((job for job in jobs if job.rate is not None), key=lambda job: job.rate or 0.0, reverse=True)
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
    return _lead(best, measured), _certainty(best, second)


def _lead(best: Measured, measured: Sequence[Measured]) -> str:
    better = [job for job in measured if job.change is not None and job.change.outcome == "better"]
    if better == [best]:
        return f"{best.title} is the best, and the only one better than before."
    if best.change is not None and best.change.outcome == "worse":
        return f"{best.title} is the best, and still worse than before."
    return f"{best.title} is the best."


def _certainty(best: Measured, second: Measured) -> str:
    ends = [job.change.achieved.interval if job.change is not None else None for job in (best, second)]
    if ends[0] is None or ends[1] is None:
        return "There are too few people for an interval: its lead may be chance."
    if ends[0].low <= ends[1].high:
        return f"Its lead over {second.title} may be chance: their intervals overlap."
    return f"Its lead over {second.title} is no chance: their intervals lie apart."
