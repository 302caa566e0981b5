"""A batch in microbatches whose gradients add up."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def slices_of(start: int, stop: int, size: int) -> Iterator[slice]:
    """`start` to `stop` in pieces of `size`, the last as small as it is."""
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


@torch.no_grad()
def add_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
    """To what their `grad` is already, which lies in memory as the parameter does: a fused optimizer reads both in the
    order of the parameter's memory, and a convolution's gradient may lie otherwise."""
    sums = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        sums.append(parameter.grad)
    torch._foreach_add_(sums, tuple(gradients))
