"""Microbatches of a batch, and the sum of their gradients."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def slices_of(start: int, stop: int, size: int) -> Iterator[slice]:
    """`start` to `stop` in slices of `size`; the last one may be smaller."""
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


@torch.no_grad()
def add_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
    """Add to `grad` of the parameters, which has the memory layout of the parameter. It may share the memory of
    `gradients`.

    A fused optimizer reads both in the order of the parameter's memory, and a convolution's gradient may have another.
    """
    sums, added = [], []
    for parameter, gradient in zip(parameters, laid_out(parameters, gradients), strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            sums.append(parameter.grad)
            added.append(gradient)
    if sums:
        torch._foreach_add_(sums, added)


def laid_out(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> list[Tensor]:
    """The gradients with the strides of the parameters, no two in the same memory. Copies where it has to: PyTorch adds
    tensors of other strides one by one."""
    found, memory = [], set[int]()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        start = gradient.untyped_storage().data_ptr()
        if start in memory or not _lie_alike(gradient, parameter):
            gradient = torch.empty_like(parameter).copy_(gradient)
        elif gradient.stride() != parameter.stride():
            gradient = gradient.as_strided(parameter.size(), parameter.stride())
        memory.add(start)
        found.append(gradient)
    return found


def _lie_alike(one: Tensor, other: Tensor) -> bool:
    """Whether the memory has the same order. Strides of a dimension of size 1 say nothing."""
    return all(
        size == 1 or stride == wanted
        for size, stride, wanted in zip(one.shape, one.stride(), other.stride(), strict=True)
    )
