"""Initial weights of a DSR network: it enlarges by bilinear interpolation, and its other channels are random.

The image passes through the first three channels, every residual block starts as the identity (Goyal et al., "Accurate,
Large Minibatch SGD", 2017, section 5.1), and the kernels before each pixel shuffle repeat or interpolate (Aitken et
al., "Checkerboard artifact free sub-pixel convolution", arXiv:1707.02937). So the network learns only the residual to
interpolation, for which a few hundred faces suffice.
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
    """Create a network with at least three channels, deterministic for a seed."""
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
    """Copy the first three input channels to the output; for conv_out, the other channels are added."""
    conv.weight[:_RGB, :_RGB] = 0.0
    for channel in range(_RGB):
        conv.weight[channel, channel, 1, 1] = 1.0
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def _enlarge(conv: nn.Conv2d, factor: int) -> None:
    """Initialise the convolution before PixelShuffle: bilinear for RGB, one shared kernel per sub-pixel elsewhere."""
    channels = conv.in_channels
    weight_CFF = conv.weight.view(channels, factor**2, channels, 3, 3)
    weight_CFF[:] = weight_CFF[:, :1].clone()
    weight_CFF[:_RGB] = 0.0
    for channel in range(_RGB):
        weight_CFF[channel, :, channel] = _bilinear(factor)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def _bilinear(factor: int) -> Tensor:
    """Return bilinear weights [F * F, 3, 3] of the neighbours for each sub-pixel, in PixelShuffle's order."""
    place_F = (torch.arange(factor) + 0.5) / factor - 0.5  # offset from the pixel's centre, in pixels
    taps = torch.tensor([-1.0, 0.0, 1.0])
    weights_F3 = (1 - (place_F[:, None] - taps).abs()).clamp(min=0)
    return torch.einsum("ai,bj->abij", weights_F3, weights_F3).reshape(factor**2, 3, 3)
