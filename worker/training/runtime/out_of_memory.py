"""Running out of memory without dying of it."""

import gc
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from app.finetune.training_errors import OutOfMemory
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel

_Result = TypeVar("_Result")

# What PyTorch's CPU allocator and CUDA's libraries say in a plain RuntimeError.
_SAYINGS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error) for saying in _SAYINGS)


def unless_out_of_memory(compute: Callable[[], _Result]) -> _Result | None:
    """What `compute` returns; None where memory ran out, and then all that it held is free again."""
    try:
        return compute()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Only here, past the except block, is the traceback gone whose frames hold the tensors.
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    return None


def in_parts_that_fit(
    compute: Callable[[Tensor], Tensor],
    x_N: Tensor,
    at_once: int,
    on_part: Callable[[int], None] = lambda _: None,
    parallel: CpuParallel = SINGLE_THREAD,
) -> Tensor:
    """`compute` over parts [n, ...] of `x_N` [N, ...], put together again; `on_part` hears each part's n.

    Every lane has a part at a time. Starts with n = `at_once`, or less where lanes would be idle, and halves it
    whenever memory runs out; where even one in each lane does not fit, it goes on with one lane. Raises OutOfMemory
    where even one does not fit.
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
