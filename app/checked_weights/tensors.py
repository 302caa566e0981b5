"""Tensors as a file describes them. Nothing that a file says of one is believed before `check` has compared it with the
bytes that the file has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt

MOST_DIMENSIONS = 8
MOST_ELEMENTS = 2**28
"""Of one tensor. The largest of a network that is accepted has 2**24."""

FLOATING = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2"}
"""The types of numbers that weights may have, by safetensors' names, and numpy's for their bytes."""

_OTHERS = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "U64": 8, "U32": 4, "U16": 2, "C64": 8}
_OTHERS |= {"C128": 16, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E5M2FNUZ": 1, "F8_E4M3FNUZ": 1, "F8_E8M0": 1, "F4": 1}
ITEM_BYTES = {**{name: int(code[1]) for name, code in FLOATING.items()}, **_OTHERS}

INTEGERS_OF_QUANTISED = ("I8", "U8")

ReadBytes = Callable[[int, int], bytes]
"""read(start, size): bytes of the file."""


class BadTensor(Exception):
    """Its words follow the name of the tensor: `has no elements`."""


@dataclass(frozen=True)
class Storage:
    """The bytes of one or several tensors: `size` bytes from `start` in the file, None where the file has none."""

    start: int | None
    size: int
    dtype: str
    big_endian: bool = False


@dataclass(frozen=True)
class Tensor:
    """`offset` and `strides` count elements in the storage. `odd` is what kind of tensor it is, if no plain one."""

    shape: tuple[int, ...]
    storage: Storage
    offset: int = 0
    strides: tuple[int, ...] | None = None
    odd: str | None = None

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    def check(self) -> None:
        """Raise BadTensor unless the file has a byte of its own for every element."""
        if self.odd is not None:
            raise BadTensor(f"is {self.odd} tensor")
        if self.dtype not in ITEM_BYTES:
            raise BadTensor(f"holds {self.dtype}, which is unknown")
        if not _are_counts(self.shape) or len(self.shape) > MOST_DIMENSIONS:
            raise BadTensor("declares a shape that no tensor has")
        elements = prod(self.shape)
        if elements == 0:
            raise BadTensor(f"has no elements: its shape is {self.shape}")
        if elements > MOST_ELEMENTS:
            raise BadTensor(f"declares {_count(elements)} elements; {MOST_ELEMENTS:,} is the most")
        if self.storage.start is None:
            raise BadTensor("has no data in the file")
        held = self.storage.size // ITEM_BYTES[self.dtype]
        if elements > held:
            raise BadTensor(f"declares {_count(elements)} elements, of which the file holds {held:,}")
        strides = self.element_strides
        if not _are_counts((self.offset,)) or not _are_counts(strides) or len(strides) != len(self.shape):
            raise BadTensor("declares an offset or strides that no tensor has")
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, strides, strict=True))
        if last >= held:
            raise BadTensor("reaches beyond its data in the file")

    @property
    def element_strides(self) -> tuple[int, ...]:
        if self.strides is not None:
            return self.strides
        return tuple(prod(self.shape[place + 1 :]) for place in range(len(self.shape)))

    def read(self, read: ReadBytes) -> npt.NDArray[np.float32]:
        """Return the values as float32, of a tensor that `check` accepted and whose type is one of FLOATING."""
        assert self.storage.start is not None  # noqa: S101 - `check` looked
        item = ITEM_BYTES[self.dtype]
        strides = self.element_strides
        length = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, strides, strict=True))
        data = read(self.storage.start + self.offset * item, length * item)
        order: Literal["<", ">"] = ">" if self.storage.big_endian else "<"
        flat = np.frombuffer(data, np.dtype(FLOATING[self.dtype]).newbyteorder(order))
        steps = [stride * item for stride in strides]
        array = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)
        if self.dtype == "BF16":
            widened: npt.NDArray[np.float32] = (array.astype(np.uint32) << 16).view(np.float32)
            return np.ascontiguousarray(widened)
        with np.errstate(over="ignore"):  # infinity is found afterwards
            return np.ascontiguousarray(array, dtype="<f4")


def _are_counts(numbers: Sequence[object]) -> bool:
    return all(type(number) is int and 0 <= number < 2**62 for number in numbers)


def _count(number: int) -> str:
    return f"{number:,}" if number < 10**15 else "more than 10^15"
