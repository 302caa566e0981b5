"""Leases of GPUs: places on the GPUs of a machine, each for one attempt at a time.

A lease is a lock on a file in a folder that the machine's workers share, named after the GPU's UUID. The kernel
releases it when the last process that holds it has ended, in whatever way. Supervisor and trainer both hold it, so that
a GPU is not given away while a trainer that was killed hangs in the driver.
"""

import fcntl
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from app.finetune.gpus import GpuReading

_NO_PLACE = -1
_USABLE_SHARE = 0.9
"""The most of a GPU's memory that a job waits for: with less, it computes smaller parts."""

_FOR_ALL_USERS = 0o666
"""Workers of several users share the GPUs of a machine."""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of a GPU's memory: `whole` to compute whole batches, `least` to compute at all."""

    least: int
    whole: int


class NoGpuFree(Exception):
    """The message follows `waits for`, and stays the same for as long as the same is lacking."""


class GpuMemoryShort(NoGpuFree):
    """A place is free, but too little memory."""


class GpuLease:
    """A place on GPU `number`, the N of `cuda:N`. A process that is started with it holds it too."""

    def __init__(self, number: int, descriptor: int) -> None:
        self.number = number
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the place in this process."""
        os.close(self._descriptor)

    def __reduce__(self) -> tuple[Callable[[int, Any], "GpuLease"], tuple[int, object]]:
        return _received, (self.number, DupFd(self._descriptor))


def _received(number: int, descriptor: Any) -> GpuLease:
    return GpuLease(number, descriptor.detach())


class GpuLeases:
    """`places` attempts at the same time on each GPU. `folder` is shared by the workers of the machine."""

    def __init__(self, folder: Path, places: int) -> None:
        self._folder = folder
        self._places = places

    def take(self, device: str, gpus: Sequence[GpuReading], need: MemoryNeed) -> GpuLease | None:
        """Lease a place on the GPU that `device` names; for `auto` and `cuda` preferably on one with memory for whole
        batches, then on the one with the fewest attempts, then with the most free memory.

        On a GPU without another attempt the least memory is enough: what other programs hold may never be freed. None
        where the machine does not have that GPU. Raises NoGpuFree.
        """
        index = device.partition(":")[2]
        numbers = [int(index)] if index else list(range(len(gpus)))
        if any(number >= len(gpus) for number in numbers):
            return None
        try:
            return self._lease([(number, gpus[number]) for number in numbers], need)
        except OSError as error:
            raise NoGpuFree(
                f"a GPU: the leases of GPUs in {self._folder} cannot be used: {error}; give the worker's user write "
                "access to this folder and its files, on a disk with free space and file locks"
            ) from error

    def _lease(self, gpus: Sequence[tuple[int, GpuReading]], need: MemoryNeed) -> GpuLease:
        """Raises NoGpuFree and OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as opened:
            fcntl.flock(_open(self._folder / "choosing", opened), fcntl.LOCK_EX)
            chosen = _choose([self._look_at(number, reading, opened) for number, reading in gpus], need)
            os.ftruncate(chosen.place, 0)
            os.pwrite(chosen.place, str(chosen.at_most(need.whole)).encode(), 0)
            return GpuLease(chosen.number, os.dup(chosen.place))

    def _look_at(self, number: int, reading: GpuReading, opened: ExitStack) -> "_Gpu":
        """Lock the free places until `opened` closes their files."""
        place, taken, promised = _NO_PLACE, 0, 0
        for each in range(self._places):
            descriptor = _open(self._folder / f"{reading.uuid}.{each}", opened)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                place = descriptor
            except BlockingIOError:
                taken += 1
                promised += _number_in(os.pread(descriptor, 32, 0))
        return _Gpu(number, reading, place, taken, promised)


@dataclass(frozen=True)
class _Gpu:
    """`place` is the file of a free place, `taken` the number of places in use, for `promised` bytes of memory."""

    number: int
    reading: GpuReading
    place: int
    taken: int
    promised: int

    @property
    def name(self) -> str:
        return f"cuda:{self.number}"

    def at_most(self, needed_bytes: int) -> int:
        total = self.reading.memory_total_bytes
        return needed_bytes if total is None else min(needed_bytes, int(_USABLE_SHARE * total))

    def waited_for(self, need: MemoryNeed) -> int:
        return self.at_most(need.whole if self.taken else need.least)

    def has_memory(self, needed_bytes: int) -> bool:
        """Beside other programs, and beside the jobs that have not taken their memory yet. True where it is unknown."""
        total, free = self.reading.memory_total_bytes, self.reading.memory_free_bytes
        if total is None or free is None:
            return True
        return needed_bytes <= min(free, total - self.promised)


def _choose(gpus: Sequence[_Gpu], need: MemoryNeed) -> _Gpu:
    """Raises NoGpuFree."""
    working = [gpu for gpu in gpus if gpu.reading.problem is None]
    if not working:
        problems = {gpu.reading.problem.message for gpu in gpus if gpu.reading.problem is not None}
        raise NoGpuFree(f"a GPU: {'; '.join(sorted(problems))}")
    with_place = [gpu for gpu in working if gpu.place != _NO_PLACE]
    if not with_place:
        raise NoGpuFree(f"a GPU: other jobs use {_names(working)}")
    fitting = [gpu for gpu in with_place if gpu.has_memory(gpu.waited_for(need))]
    if not fitting:
        raise GpuMemoryShort(f"memory of a GPU: the job needs {_lacking(with_place, need)}")
    return min(
        fitting,
        key=lambda gpu: (
            not gpu.has_memory(gpu.at_most(need.whole)),
            gpu.taken,
            -(gpu.reading.memory_free_bytes or 0),
            gpu.number,
        ),
    )


def _lacking(gpus: Sequence[_Gpu], need: MemoryNeed) -> str:
    shared, others = [gpu for gpu in gpus if gpu.taken], [gpu for gpu in gpus if not gpu.taken]
    lacking = []
    if shared:
        lacking.append(
            f"{_gib(shared, need)} free on {_names(shared)} beside the jobs there: it starts when one of them has ended"
        )
    if others:
        lacking.append(
            f"{_gib(others, need)} free on {_names(others)}, and programs other than jobs hold the memory: end them "
            "(nvidia-smi lists them)"
        )
    return "; or ".join(lacking)


def _gib(gpus: Sequence[_Gpu], need: MemoryNeed) -> str:
    return f"{max(gpu.waited_for(need) for gpu in gpus) / 2**30:.1f} GiB"


def _number_in(text: bytes) -> int:
    """0 for a file that was not written as a whole, as on a full disk."""
    return int(text) if text.isdigit() else 0


def _names(gpus: Sequence[_Gpu]) -> str:
    return " or ".join(gpu.name for gpu in gpus)


def _open(path: Path, opened: ExitStack) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:  # O_CREAT on another user's file is refused in a folder such as /tmp
        descriptor = os.open(path, flags | os.O_CREAT, _FOR_ALL_USERS)
    opened.callback(os.close, descriptor)
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != _FOR_ALL_USERS:  # the umask took some away
        os.fchmod(descriptor, _FOR_ALL_USERS)
    return descriptor
