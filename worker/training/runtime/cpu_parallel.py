"""CPU data parallelism: the microbatches of a step run at the same time, each on a core of its own.

PyTorch parallelises within each operation: the cores wait for each other after each of a step's thousand small
operations. Two cores are then 1.5 times as fast as one, and slower than one where another process needs a core.
`CpuParallel` divides the faces among the cores instead; the cores wait once per step.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from worker.training.runtime.profiling import is_profiling

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

_FEWEST_FACES = 8
"""Per thread: below it, calling the operations takes longer than the operations."""


class CpuParallel:
    """`count` threads with `cores` cores each for PyTorch's operations; for a `count` of 1, the caller's own thread."""

    def __init__(self, count: int = 1, cores: int = 1) -> None:
        self.count = count
        self._threads = (
            ThreadPoolExecutor(count, "cpu-parallel", initializer=torch.set_num_threads, initargs=(cores,))
            if count > 1
            else None
        )

    def map(self, compute: Callable[[_Part], _Result], parts: Iterable[_Part]) -> list[_Result]:
        """The results, in the order of `parts`. Raises the error of the first that failed, after all have ended."""
        if self._threads is None:
            return [compute(part) for part in parts]
        computed = [self._threads.submit(compute, part) for part in parts]
        wait(computed)
        return [each.result() for each in computed]


SINGLE_THREAD = CpuParallel()


def parallel_on_all_cores(device: torch.device) -> CpuParallel:
    """One thread on a GPU, and while profiling; else one for each core of the CPU."""
    return _threads(device, torch.get_num_threads())


def parallel_for(device: torch.device, batch_size: int) -> CpuParallel:
    """As `parallel_on_all_cores`, but at most one thread for 8 faces of a batch; the threads share the cores."""
    return _threads(device, batch_size // _FEWEST_FACES)


def _threads(device: torch.device, most: int) -> CpuParallel:
    cores = torch.get_num_threads()
    count = min(cores, most)
    if device.type != "cpu" or is_profiling() or count < 2:
        return SINGLE_THREAD
    return CpuParallel(count, cores // count)
