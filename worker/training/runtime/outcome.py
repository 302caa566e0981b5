"""The last event of a run: its result, or `Stopped`."""

from collections.abc import Callable
from typing import TypeVar

from app.finetune.events import DryRunFinished, EvaluationWritten, Finished, Report, Stopped
from worker.training.runtime.control import StopRequested

_Result = TypeVar("_Result", Finished, DryRunFinished, EvaluationWritten)


def report_outcome(work: Callable[[], _Result], report: Report) -> _Result | Stopped:
    """The result of `work`, or `Stopped` where it raised StopRequested; reported as the last event."""
    last: _Result | Stopped
    try:
        last = work()
    except StopRequested:
        last = Stopped()
    report(last)
    return last
