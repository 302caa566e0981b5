"""Depthwise convolution of small maps on a CPU that computes the weight's gradient as two matrix products.

If the map is hardly larger than the kernel, as in the last two of EdgeNeXt's four stages, PyTorch spends ten times as
long on the weight's gradient as on everything else.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.grad import conv2d_input

# Shape suffixes: B faces, C channels, H and W of the map, N = H * W positions, K taps of a kernel.

_LARGEST_MAP = 49  # on larger maps the products of all pairs of positions cost more than they save


def depthwise(x_BCHW: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a depthwise convolution with stride 1 and same padding: [B, C, H, W] -> [B, C, H, W]."""
    trains = torch.is_grad_enabled() and conv.weight.requires_grad
    small = x_BCHW.shape[2] * x_BCHW.shape[3] <= _LARGEST_MAP
    if trains and small and x_BCHW.device.type == "cpu" and not torch.is_autocast_enabled("cpu"):
        return _Depthwise.apply(x_BCHW, conv.weight, conv.bias)  # type: ignore[no-any-return, no-untyped-call]
    return conv(x_BCHW)  # type: ignore[no-any-return]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x_BCHW: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight)
        return F.conv2d(x_BCHW, weight, bias, padding=weight.shape[2] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_BCHW, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        grad_x_BCHW = conv2d_input(  # type: ignore[no-untyped-call]
            x_BCHW.shape, weight, grad_BCHW, padding=weight.shape[2] // 2, groups=len(weight)
        )
        # Multiply every position of the map with every position of the gradient, then sum the pairs of each tap.
        pairs_CNN = _by_channel(grad_BCHW).transpose(1, 2) @ _by_channel(x_BCHW)
        taps = _taps(weight.shape[2], *x_BCHW.shape[2:]).to(weight.dtype)
        grad_weight_CK = pairs_CNN.flatten(1) @ taps
        return grad_x_BCHW, grad_weight_CK.view_as(weight), grad_BCHW.sum((0, 2, 3))


def _by_channel(x_BCHW: Tensor) -> Tensor:
    """[B, C, H, W] -> [C, B, N], contiguous: PyTorch multiplies non-contiguous matrices one at a time."""
    return x_BCHW.flatten(2).transpose(0, 1).contiguous()


@cache
def _taps(kernel: int, height: int, width: int) -> Tensor:
    """[N * N, K]: 1 where the tap connects an output position (first) with an input position (second)."""
    rows, columns = torch.arange(height), torch.arange(width)
    row_tap = rows[None] - rows[:, None] + kernel // 2
    column_tap = columns[None] - columns[:, None] + kernel // 2
    taps = torch.arange(kernel)
    row_HHK = (row_tap[..., None] == taps).float()
    column_WWK = (column_tap[..., None] == taps).float()
    return torch.einsum("abk,cdl->acbdkl", row_HHK, column_WWK).reshape((height * width) ** 2, kernel**2)
