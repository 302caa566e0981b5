"""DSR: a super-resolution network for very-low-resolution faces.

The network of the guide: a residual convolutional network after EDSR (Lim et al., CVPRW 2017, arXiv:1707.02921) with
PReLU instead of ReLU and without batch normalisation. Sub-pixel convolution upsamples (Shi et al., CVPR 2016,
arXiv:1609.05158, section 3). Channels, blocks and factors are inferred from the weights.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from app.finetune.architectures import DsrLayout, infer_dsr_layout
from app.finetune.checked_copy import CheckedCopy
from app.finetune.network_limits import layout_problem
from app.finetune.weights_errors import WeightsTooLarge
from worker.training.models.state_dicts import as_float32, name_of, read_state_dict

# Shape suffixes: B faces, C channels, H and W input pixels, U and V output pixels: H and W times all factors.


class ResidualBlock(nn.Module):
    """PReLU(x + conv2(PReLU(conv1(x)))) with one shared PReLU."""

    def __init__(self, channels: int, prelu_parameters: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.prelu = nn.PReLU(prelu_parameters)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        residual_BCHW = self.conv2(self.prelu(self.conv1(x_BCHW)))
        return self.prelu(x_BCHW + residual_BCHW)  # type: ignore[no-any-return]


class DSR(nn.Module):
    """The DSR network without the guide's final resize; the caller resizes the output."""

    def __init__(self, layout: DsrLayout) -> None:
        super().__init__()
        channels, prelu_parameters = layout.channels, layout.prelu_parameters
        self.layout = layout
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.residual_blocks = nn.ModuleList(ResidualBlock(channels, prelu_parameters) for _ in range(layout.blocks))
        self.upsamplers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels * factor**2, 3, padding=1),
                nn.PixelShuffle(factor),
                nn.PReLU(prelu_parameters),
            )
            for factor in layout.factors
        )
        self.conv_out = nn.Conv2d(channels, 3, 3, padding=1)

    def describe(self) -> str:
        """Return the layout as text, as jobs report it."""
        factors = "x".join(map(str, self.layout.factors)) or "none"
        return f"DSR: {self.layout.channels} channels, {self.layout.blocks} residual blocks, factors {factors}"

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """RGB faces [B, 3, H, W] in [0, 1] -> [B, 3, U, V], about [0, 1] but not clamped."""
        x = self.conv_in(x_BCHW)
        for block in self.residual_blocks:
            x = block(x)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        y_BCUV: Tensor = self.conv_out(x)
        return y_BCUV


def load_dsr(weights: Path | CheckedCopy) -> DSR:
    """Load a DSR network in eval mode, strictly. The layout is inferred from the tensors.

    Raises WeightsError.
    """
    tensors, path = read_state_dict(weights, "DSR"), name_of(weights)
    layout = infer_dsr_layout({name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)
    if (problem := layout_problem(layout)) is not None:
        raise WeightsTooLarge(path, problem)
    with torch.device("meta"):
        dsr = DSR(layout)
    dsr.load_state_dict(as_float32(tensors, path), strict=True, assign=True)
    return dsr.eval().requires_grad_(requires_grad=False)
