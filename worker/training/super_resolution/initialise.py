"""A DSR network before its first step: it enlarges by bilinear interpolation, and its other channels are random.

The image passes through the first three channels, every residual block begins as the identity (Goyal et al., "Accurate,
Large Minibatch SGD", 2017, section 5.1), and each pixel shuffle's kernels repeat or interpolate (Aitken et al.,
"Checkerboard artifact free sub-pixel convolution", arXiv:1707.02937). So a few hundred faces teach it what
interpolation lacks, not how to interpolate.
"""

import torch
from torch import Tensor, nn

from app.finetune.architectures import DsrLayout
from worker.training.models.dsr import DSR

# Shape suffixes: C channels, F the factor of one pixel shuffle, 3 x 3 taps.

_RGB = 3
_OTHERS_IN_OUTPUT = 0.01


@torch.no_grad()
def new_dsr(layout: DsrLayout, seed: int) -> DSR:
    """A network of this layout, the same for the same seed; it needs at least three channels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dsr = DSR(layout)
    _pass_rgb(dsr.conv_in)
    for block in dsr.residual_blocks:
        nn.init.zeros_(block.conv2.weight)  # type: ignore[arg-type, union-attr]
        nn.init.zeros_(block.conv2.bias)  # type: ignore[arg-type, union-attr]
    for factor, upsampler in zip(layout.factors, dsr.upsamplers, strict=True):
        _enlarge(upsampler[0], factor)  # type: ignore[index]
    dsr.conv_out.weight *= _OTHERS_IN_OUTPUT
    _pass_rgb(dsr.conv_out)
    return dsr


def _pass_rgb(conv: nn.Conv2d) -> None:
    """The first three channels of the output are those of the input; of conv_out, beside what the others add."""
    conv.weight[:_RGB, :_RGB] = 0.0
    for channel in range(_RGB):
        conv.weight[channel, channel, 1, 1] = 1.0
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def _enlarge(conv: nn.Conv2d, factor: int) -> None:
    """Before PixelShuffle: RGB interpolated bilinearly, every other channel with one kernel for all its sub-pixels."""
    channels = conv.in_channels
    weight_CFF = conv.weight.view(channels, factor**2, channels, 3, 3)
    weight_CFF[:] = weight_CFF[:, :1].clone()
    weight_CFF[:_RGB] = 0.0
    for channel in range(_RGB):
        weight_CFF[channel, :, channel] = _bilinear(factor)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def _bilinear(factor: int) -> Tensor:
    """[F * F, 3, 3]: for each sub-pixel of a pixel, in PixelShuffle's order, the weights of its neighbours."""
    place_F = (torch.arange(factor) + 0.5) / factor - 0.5  # from the pixel's middle, in pixels
    taps = torch.tensor([-1.0, 0.0, 1.0])
    weights_F3 = (1 - (place_F[:, None] - taps).abs()).clamp(min=0)
    return torch.einsum("ai,bj->abij", weights_F3, weights_F3).reshape(factor**2, 3, 3)
