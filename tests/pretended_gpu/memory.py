"""The memory of a pretended GPU: what lies in it, and that it runs out."""

import weakref
from typing import Protocol

import torch
from torch import Tensor

_ROUNDED_TO = 512
"""Bytes: PyTorch's caching allocator rounds every allocation up to this."""


class Owner(Protocol):
    """What blocks are taken from and given back to."""

    def take(self, size: int) -> None:
        """Raises torch.OutOfMemoryError."""

    def give_back(self, size: int) -> None: ...


class Memory:
    """The memory of GPU number `index`, `capacity` bytes large. `context_bytes` are in use from the start."""

    def __init__(self, index: int, capacity: int, context_bytes: int) -> None:
        self.index = index
        self.capacity = capacity
        self.context_bytes = context_bytes
        self.live_bytes = self.peak_bytes = 0

    @property
    def free_bytes(self) -> int:
        return self.capacity - self.context_bytes - self.live_bytes

    def take(self, size: int) -> None:
        if size > self.free_bytes:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size} bytes. GPU {self.index} has a total capacity of "
                f"{self.capacity} bytes of which {self.free_bytes} bytes is free."
            )
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def give_back(self, size: int) -> None:
        self.live_bytes -= size

    def reset_peak(self) -> None:
        self.peak_bytes = self.live_bytes


class GraphPool:
    """The memory of captured graphs: blocks given back are used again inside, and all of it is kept until the last
    graph and the last tensor of the pool are gone."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._live_bytes = self._reserved_bytes = 0

    def take(self, size: int) -> None:
        more = self._live_bytes + size - self._reserved_bytes
        if more > 0:
            self._memory.take(more)
            self._reserved_bytes += more
        self._live_bytes += size

    def give_back(self, size: int) -> None:
        self._live_bytes -= size

    def __del__(self) -> None:
        self._memory.give_back(self._reserved_bytes)


class Block:
    """The memory of one storage: taken from `owner`, and given back when no tensor refers to the block any more."""

    def __init__(self, owner: Owner, nbytes: int) -> None:
        self._size = 0
        self._owner = owner
        size = -(-nbytes // _ROUNDED_TO) * _ROUNDED_TO
        owner.take(size)
        self._size = size

    def __del__(self) -> None:
        self._owner.give_back(self._size)


class Blocks:
    """The blocks of all storages that tensors on a pretended GPU refer to."""

    def __init__(self) -> None:
        self._of_storage: weakref.WeakValueDictionary[int, Block] = weakref.WeakValueDictionary()

    def find(self, tensor: Tensor) -> Block | None:
        """The block of the storage of `tensor`, a CPU tensor that holds the numbers of one on a pretended GPU."""
        return self._of_storage.get(storage_key(tensor))

    def take(self, tensor: Tensor, owner: Owner) -> Block:
        """Raises torch.OutOfMemoryError."""
        block = Block(owner, tensor.untyped_storage().nbytes())
        self._of_storage[storage_key(tensor)] = block
        return block


def storage_key(tensor: Tensor) -> int:
    """The same for all views of one memory, while it is there."""
    return int(tensor.untyped_storage()._cdata)


class PinnedMemory:
    """Which storages of CPU tensors are pinned (page-locked)."""

    def __init__(self) -> None:
        self._of_storage: dict[int, object] = {}

    def add(self, tensor: Tensor) -> Tensor:
        """`tensor`, whose storage is pinned from now on."""
        key = storage_key(tensor)
        self._of_storage[key] = weakref.finalize(tensor.untyped_storage(), self._of_storage.pop, key, None)
        return tensor

    def __contains__(self, tensor: Tensor) -> bool:
        return storage_key(tensor) in self._of_storage
