"""The header of a safetensors file: JSON with a type, a shape and a place for each tensor.

The format: https://huggingface.co/docs/safetensors. The library reads whole files; the values of a tensor are read here
as those of torch.save's files are, after the same checks.
"""

import json
from collections.abc import Mapping
from typing import Any

from app.checked_weights.tensors import ITEM_BYTES, ReadBytes, Storage, Tensor

MOST_HEADER_BYTES = 2**22
MOST_TENSORS = 20_000
_LENGTH_BYTES = 8
_METADATA = "__metadata__"


class BadHeader(Exception):
    """Words that end the sentence `PATH is not a readable weights file: ...`."""


def read_header(read: ReadBytes, size: int) -> dict[str, Tensor]:
    """Return the tensors by name. Raises BadHeader."""
    length = _length(read(0, _LENGTH_BYTES))
    if length > MOST_HEADER_BYTES:
        raise BadHeader(f"its header has {length:,} bytes; {MOST_HEADER_BYTES:,} is the most")
    try:
        header = json.loads(read(_LENGTH_BYTES, length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadHeader(f"its header is no JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise BadHeader(f"its header describes no tensors, or more than {MOST_TENSORS:,}")
    start = _LENGTH_BYTES + length
    return {name: _tensor(entry, start, size) for name, entry in header.items() if name != _METADATA}


def _length(head: bytes) -> int:
    return int.from_bytes(head[:_LENGTH_BYTES], "little")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _tensor(entry: object, start: int, size: int) -> Tensor:
    if not isinstance(entry, Mapping):
        raise BadHeader("its header describes a tensor without type, shape and place")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        raise BadHeader("its header describes a tensor without type, shape and place")
    begin, end = offsets
    if type(begin) is not int or type(end) is not int or not 0 <= begin <= end <= size - start:
        raise BadHeader("the data of a tensor is not in the file")
    known = dtype if dtype in ITEM_BYTES else "another type"
    return Tensor(tuple(shape), Storage(start + begin, end - begin, known))
