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
    """Add to `grad` of the parameters, which has the memory layout of the parameter.

    A fused optimizer reads both in the order of the parameter's memory, and a convolution's gradient may have another.
    """
    sums = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        sums.append(parameter.grad)
    torch._foreach_add_(sums, tuple(gradients))
