"""Copies between the CPU and the device that trains, in which the CPU waits as seldom as it can.

The CPU waits for a GPU's copy of any memory but pinned memory. Each copy here has pinned memory of its own: PyTorch
keeps what is freed, with an event behind the copy, and gives it out again once the event has happened. So nothing is
overwritten while a GPU still reads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor

from worker.training.runtime.microbatches import slices_of
from worker.training.runtime.out_of_memory import unless_out_of_memory

_Content = TypeVar("_Content")

_BYTES_AT_ONCE = 2**26


def to_device(data: Tensor, device: torch.device) -> Tensor:
    """`data` on `device`. The CPU does not wait for it to be copied to a GPU."""
    if device.type == "cpu" or data.device.type != "cpu":
        return data.to(device)
    return data.pin_memory().to(device, non_blocking=True)


def upload(data: Tensor, device: torch.device) -> Tensor:
    """`data` [N, ...] on a GPU, copied 64 MiB at a time: no more of a memory map is pinned at once."""
    uploaded = torch.empty(data.shape, dtype=data.dtype, device=device)
    rows = max(1, _BYTES_AT_ONCE * len(data) // max(1, data.nbytes))
    for places in slices_of(0, len(data), rows):
        uploaded[places].copy_(data[places].pin_memory(), non_blocking=True)
    return uploaded


def on_cpu(content: _Content) -> _Content:
    """`content`, nested dicts, lists and tuples, with all tensors on the CPU.

    The tensors of a GPU take one copy per dtype, and one wait. Each then has memory of its own, laid out as it was.
    Where there are none, it is `content` itself.
    """
    tensors = {id(tensor): tensor for tensor in _tensors_in(content) if tensor.device.type != "cpu"}
    if not tensors:
        return content
    copies = _copy_to_cpu(list(tensors.values()))
    return cast("_Content", _replace(content, dict(zip(tensors, copies, strict=True))))


def _copy_to_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    copied = unless_out_of_memory(partial(_copy_flat, tensors))
    return [tensor.detach().cpu() for tensor in tensors] if copied is None else copied


def _copy_flat(tensors: Sequence[Tensor]) -> list[Tensor]:
    flat = {dtype: _flatten(tensors, dtype) for dtype in {tensor.dtype for tensor in tensors}}
    torch.cuda.current_stream(tensors[0].device).synchronize()
    parts = {dtype: iter(torch.split(flat[dtype], [t.numel() for t in tensors if t.dtype == dtype])) for dtype in flat}
    return [
        torch.empty_like(tensor, device="cpu", requires_grad=False).copy_(next(parts[tensor.dtype]).view(tensor.shape))
        for tensor in tensors
    ]


def _flatten(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Start to copy those of one dtype, one behind the other."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors if tensor.dtype == dtype])
    return torch.empty(flat.shape, dtype=dtype, pin_memory=True).copy_(flat, non_blocking=True)


def _tensors_in(content: object) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _tensors_in(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors_in(value)


def _replace(content: object, copies: Mapping[int, Tensor]) -> object:
    if isinstance(content, Tensor):
        return copies.get(id(content), content)
    if isinstance(content, Mapping):
        return {key: _replace(value, copies) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_replace(value, copies) for value in content)
    return content
