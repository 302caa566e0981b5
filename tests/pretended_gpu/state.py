"""What a pretended GPU knows: its memory, what the host waited for, and the errors that it is to raise."""

import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from .graphs import Capture, CaptureError
from .memory import Block, Blocks, Memory, PinnedMemory

_PACKAGE = str(Path(__file__).parent)
_REPOSITORY = str(Path(__file__).parents[2])


@dataclass
class _Fault:
    """Raised at the matching operations after `after` of them, `times` times."""

    error: Exception
    operation: str
    after: int
    times: int


@dataclass(frozen=True)
class Properties:
    """As `torch.cuda.get_device_properties` has them."""

    name: str
    major: int
    minor: int
    total_memory: int
    uuid: str
    multi_processor_count: int = 132
    is_integrated: int = 0


@dataclass
class PretendedGpu:
    """One machine's GPUs, all alike.

    `waits` counts what the host waited for, and `copies` the copies from and to memory that is not pinned, each as
    `reason @ file:line` with the nearest line of this repository. `operations` counts the operations by name (such as
    `aten.mm.default`) that would launch a kernel: views are not among them, and replays neither. `captures`
    and `replays` count those of CUDA graphs.
    """

    gpus: int
    memory_bytes: int
    context_bytes: int
    bf16: bool
    capability: tuple[int, int]
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    captures: int = 0
    replays: int = 0
    capture: Capture | None = None
    driver_error: str | None = None
    is_initialized: bool = False
    pinned: PinnedMemory = field(default_factory=PinnedMemory)
    _blocks: Blocks = field(default_factory=Blocks)
    _faults: list[_Fault] = field(default_factory=list)
    _thread: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        self.memories = [Memory(index, self.memory_bytes, self.context_bytes) for index in range(self.gpus)]
        self._generators = [torch.Generator() for _ in range(self.gpus)]

    @property
    def live_bytes(self) -> int:
        """In use by tensors, over all GPUs; `memories` has each GPU's."""
        return sum(memory.live_bytes for memory in self.memories)

    @property
    def peak_bytes(self) -> int:
        """The most that was in use by tensors at once, summed over the GPUs."""
        return sum(memory.peak_bytes for memory in self.memories)

    def fail(self, error: Exception, *, after: int = 0, times: int = 1, operation: str = "") -> None:
        """Raise copies of `error` at the next `times` operations after `after` of them.

        Counted are those whose name, such as `aten.convolution.default`, contains `operation`; `item`, `synchronize`
        and the other reasons in `waits` are names too.
        """
        self._faults.append(_Fault(error, operation, after, times))

    def break_driver(self, message: str = "CUDA driver initialization failed, you might not have a CUDA gpu.") -> None:
        """From now on there is no GPU to be found, and `torch.cuda.init` raises RuntimeError with `message`."""
        self.driver_error = message

    @property
    def visible_gpus(self) -> int:
        return 0 if self.driver_error else self.gpus

    @property
    def current_index(self) -> int:
        """The number of the current GPU, in each thread its own."""
        return int(getattr(self._thread, "index", 0))

    @current_index.setter
    def current_index(self, index: int) -> None:
        self._thread.index = self.check_index(index)

    @property
    def current_streams(self) -> dict[int, object]:
        """Those that are not the default ones, by the number of the GPU, in each thread its own."""
        streams: dict[int, object] = self._thread.__dict__.setdefault("streams", {})
        return streams

    def initialize(self) -> None:
        """Raises RuntimeError where the driver is broken or there is no GPU."""
        if self.driver_error:
            raise RuntimeError(self.driver_error)
        if not self.gpus:
            raise RuntimeError("No CUDA GPUs are available")
        self.is_initialized = True

    def check_index(self, index: int) -> int:
        """Raises torch.AcceleratorError where there is no such GPU."""
        self.initialize()
        if not 0 <= index < self.gpus:
            raise torch.AcceleratorError("CUDA error: invalid device ordinal")
        return index

    def device(self, device: torch.device) -> torch.device:
        """`cuda` as the current GPU; `cuda:N` as it is."""
        return torch.device("cuda", self.check_index(self.current_index if device.index is None else device.index))

    def generator(self, device: torch.device) -> torch.Generator:
        """What is drawn on the GPU without a generator comes from this one."""
        return self._generators[device.index]

    def properties(self, index: int) -> Properties:
        return Properties("Pretended GPU", *self.capability, self.memory_bytes, f"GPU-pretended-{index}")

    def allocate(self, inner: Tensor, device: torch.device) -> Block:
        """The block of the tensor's storage, taken from the GPU's memory where the storage is new."""
        block = self._blocks.find(inner)
        if block is not None:
            return block
        if self.capture is None:
            return self._blocks.take(inner, self.memories[device.index])
        self.capture.add_fresh(inner)
        return self._blocks.take(inner, self.capture.pool)

    def note_operation(self, name: str, *, launches: bool) -> None:
        """Raises the error that the operation is to fail with."""
        self._raise_fault(name)
        if launches:
            self.operations[name] += 1

    def note_wait(self, reason: str) -> None:
        """Raises CaptureError while a graph is captured."""
        self._raise_fault(reason)
        self._refuse_in_capture(reason)
        self.waits[f"{reason} @ {_line()}"] += 1

    def note_copy(self, way: str) -> None:
        """Of memory that is not pinned. Raises CaptureError while a graph is captured."""
        self._refuse_in_capture(f"{way} copy of memory that is not pinned")
        self.copies[f"{way} @ {_line()}"] += 1

    def _refuse_in_capture(self, reason: str) -> None:
        if self.capture is not None:
            self.capture.is_valid = False
            raise CaptureError(f"CUDA error: operation not permitted when stream is capturing ({reason} @ {_line()})")

    def _raise_fault(self, name: str) -> None:
        for fault in self._faults:
            if fault.operation not in name or not fault.times:
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            raise type(fault.error)(*fault.error.args)


def _line() -> str:
    """`worker/training/loop/step.py:50`: the nearest line of the repository outside of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if file.startswith(_REPOSITORY) and not file.startswith(_PACKAGE) and "site-packages" not in file:
            return f"{file.removeprefix(_REPOSITORY).lstrip('/')}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


_active: PretendedGpu | None = None


def activate(gpu: PretendedGpu | None) -> None:
    """Only one is pretended at a time."""
    global _active
    if gpu is not None and _active is not None:
        raise RuntimeError("GPUs are pretended already")
    _active = gpu


def is_active() -> bool:
    return _active is not None


def active() -> PretendedGpu:
    """Raises RuntimeError where none is pretended (any more)."""
    if _active is None:
        raise RuntimeError("a tensor of a pretended GPU is used outside of pretended_gpu()")
    return _active
