"""The end of a run: its last event, which is its result or `Stopped`, or its error."""

from collections.abc import Callable
from typing import TypeVar

import torch

from app.finetune.events import (
    DatasetChecked,
    DryRunFinished,
    EvaluationWritten,
    Finished,
    ModelExported,
    Report,
    Stopped,
)
from app.finetune.training_errors import GpuFull, OutOfMemory
from worker.training.runtime.control import StopRequested
from worker.training.runtime.device_errors import is_out_of_memory
from worker.training.runtime.gpu_memory import held_by_others

_Result = TypeVar("_Result", Finished, DryRunFinished, EvaluationWritten, DatasetChecked, ModelExported)


def report_outcome(work: Callable[[], _Result], report: Report) -> _Result | Stopped:
    """The result of `work`, or `Stopped` where it raised StopRequested; reported as the last event.

    Raises OutOfMemory for any lack of memory, or GpuFull where other programs hold the memory.
    """
    last: _Result | Stopped
    try:
        last = work()
    except StopRequested:
        last = Stopped()
    except (OutOfMemory, MemoryError, RuntimeError) as error:
        if not isinstance(error, OutOfMemory) and not is_out_of_memory(error):
            raise
        _refuse_if_full()
        if isinstance(error, OutOfMemory):
            raise
        raise OutOfMemory from error
    report(last)
    return last


def _refuse_if_full() -> None:
    """Raises GpuFull if other programs hold a tenth of the GPU's memory or more."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    held, total = (
        held_by_others(device := torch.device("cuda", torch.cuda.current_device())),
        torch.cuda.mem_get_info()[1],
    )
    if held >= total / 10:
        raise GpuFull(f"other programs hold {held / 2**30:.1f} of the {total / 2**30:.1f} GiB of {device}")
