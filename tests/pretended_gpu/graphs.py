"""CUDA graphs: operations recorded once, and replayed on the same memory."""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .memory import GraphPool, storage_key


class CaptureError(RuntimeError):
    """A stream that is captured does not permit the operation."""


@dataclass(frozen=True)
class _Recorded:
    """An operation on the CPU tensors that hold the numbers, and what it gave."""

    operation: Callable[..., object]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    results: Sequence[Tensor]

    def run(self) -> None:
        for result, again in zip(self.results, tensors_in(self.operation(*self.args, **self.kwargs)), strict=True):
            if result.data_ptr() != again.data_ptr():
                result.copy_(again)


class Pool:
    """The memory that graphs captured with one `pool=` share, and these graphs in the order of their capture."""

    def __init__(self, memory: GraphPool) -> None:
        self.memory = memory
        self._captures: list[weakref.ref[Capture]] = []

    def add(self, capture: "Capture") -> None:
        self._captures.append(weakref.ref(capture))

    def poison_later_than(self, capture: "Capture") -> None:
        """A replay writes over the results of graphs captured later in the same pool: they may lie where this graph's
        own tensors lay that were free by then."""
        is_later = False
        for other in (reference() for reference in self._captures):
            if other is not None and is_later:
                other.poison()
            is_later = is_later or other is capture


class Capture:
    """One capture, and then the graph. The numbers are computed in the capture to know the shapes; `finish` takes it
    back."""

    def __init__(self, pool: Pool) -> None:
        self.is_valid = True
        self._pool = pool
        self._recorded: list[_Recorded] = []
        self._saved: dict[int, tuple[Tensor, Tensor]] = {}
        self._fresh: dict[int, torch.UntypedStorage] = {}

    @property
    def pool(self) -> GraphPool:
        return self._pool.memory

    def record(
        self, operation: Callable[..., object], args: Sequence[Any], kwargs: Mapping[str, Any], result: object
    ) -> None:
        self._recorded.append(_Recorded(operation, args, kwargs, tensors_in(result)))

    def add_fresh(self, tensor: Tensor) -> None:
        """Its storage is new in the capture."""
        self._fresh[storage_key(tensor)] = tensor.untyped_storage()

    def save(self, tensors: Iterable[Tensor]) -> None:
        """Before an operation that writes to some of them."""
        for tensor in tensors:
            key = storage_key(tensor)
            if key not in self._saved and key not in self._fresh:
                whole = _whole(tensor.untyped_storage())
                self._saved[key] = whole, whole.clone()

    def finish(self) -> None:
        """Nothing has run: old memory is as it was, and new memory holds no numbers yet.

        Raises CaptureError where an operation was refused inside.
        """
        for whole, before in self._saved.values():
            whole.copy_(before)
        self._saved.clear()
        self.poison()
        if not self.is_valid:
            raise CaptureError("CUDA error: operation failed due to a previous error during capture")
        self._pool.add(self)

    def poison(self) -> None:
        """Fill the tensors made in the capture with NaN, -1 or true."""
        for storage in self._fresh.values():
            _whole(storage).fill_(255)

    def replay(self) -> None:
        self._pool.poison_later_than(self)
        for recorded in self._recorded:
            recorded.run()


def tensors_in(value: object) -> list[Tensor]:
    """Those in the arguments or the result of an operation."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for each in value for tensor in tensors_in(each)]
    return []


def _whole(storage: torch.UntypedStorage) -> Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(storage)
