"""Catch a lack of memory, and compute in smaller parts."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from app.finetune.training_errors import OutOfMemory
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.device_errors import is_out_of_memory

_Result = TypeVar("_Result")


def unless_out_of_memory(compute: Callable[[], _Result]) -> _Result | None:
    """The result of `compute`; None where memory ran out, and then the tensors that it held are free."""
    try:
        return compute()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    release_memory()  # Past the except block the traceback is gone whose frames hold the tensors.
    return None


@contextmanager
def out_of_memory_as(error: type[Exception]) -> Iterator[None]:
    """Raises `error` where memory runs out inside. Whoever catches it calls `release_memory` past its except block."""
    try:
        yield
    except (MemoryError, RuntimeError) as reason:
        if not is_out_of_memory(reason):
            raise
        raise error from reason


def release_memory() -> None:
    """Free the memory of tensors that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def in_parts_that_fit(
    compute: Callable[[Tensor], Tensor],
    x_N: Tensor,
    at_once: int,
    on_part: Callable[[int], None] = lambda _: None,
    parallel: CpuParallel = SINGLE_THREAD,
) -> Tensor:
    """Concatenate `compute` of parts [n, ...] of `x_N` [N, ...]; `on_part` is called with each part's n.

    Every thread of `parallel` computes one part at a time. Starts with n = `at_once`, or less where threads would be
    idle, and halves n whenever memory runs out; where one in each thread does not fit, it continues in one thread.
    Raises OutOfMemory where a single one does not fit.
    """
    at_once = min(at_once, -(-len(x_N) // parallel.count))
    results: list[Tensor] = []
    done = 0
    while done < len(x_N):
        parts = torch.split(x_N[done : done + parallel.count * at_once], at_once)
        computed = unless_out_of_memory(partial(parallel.map, compute, parts))
        if computed is None:
            if at_once == parallel.count == 1:
                raise OutOfMemory(1)
            at_once, parallel = (at_once // 2, parallel) if at_once > 1 else (1, SINGLE_THREAD)
            continue
        results += computed
        for part in parts:
            done += len(part)
            on_part(len(part))
    return torch.cat(results)
