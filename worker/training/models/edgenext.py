"""The two blocks of EdgeNeXt: timm's parameters and results, computed faster.

Maaz et al., "EdgeNeXt", ECCVW 2022, arXiv:2206.10589, sections 3.2 and 3.3; parameters and names are those of timm's
implementation. Differences: on a CPU the Linear layers run as 1 x 1 convolutions over the channels-last map, because
oneDNN is faster than BLAS for these narrow products; the layer scale is folded into the preceding Linear; the
positional encoding, equal for all faces, is computed once per map size instead of in each forward pass. With
`products_in`, the Linear layers and the operations between two of them run in that type, and all else as it is: on
CPUs, PyTorch's convolutions and norms are slower in bf16 than in float32.
"""

import math

import torch
import torch.nn.functional as F
from timm.layers.mlp import Mlp
from timm.models.edgenext import ConvBlock as TimmConvBlock
from timm.models.edgenext import EdgeNeXt, EdgeNeXtStage
from timm.models.edgenext import PositionalEncodingFourier as TimmPositionalEncoding
from timm.models.edgenext import SplitTransposeBlock as TimmSplitTransposeBlock
from torch import Tensor, nn

from worker.training.models.depthwise import depthwise

# Shape suffixes: B faces, C channels, H and W of the map, N = H * W, A attention heads, K = C / A channels of a head.


class RankReducedLinear(nn.Module):
    """A Linear factorised into two of rank `max(2, int(min(in, out) * gamma))` (EdgeFace, section III-B)."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool, gamma: float) -> None:
        super().__init__()
        rank = max(2, int(min(in_features, out_features) * gamma))
        self.linear1 = nn.Linear(in_features, rank, bias=False)
        self.linear2 = nn.Linear(rank, out_features, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]."""
        return self.linear2(self.linear1(x))  # type: ignore[no-any-return]


class ConvBlock(nn.Module):
    """Depthwise convolution, then an inverted bottleneck at every position: [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, block: TimmConvBlock) -> None:
        super().__init__()
        assert block.gamma is not None and not block.shortcut_after_dw, "as in every EdgeFace"  # noqa: S101
        self.gamma = block.gamma
        self.conv_dw = block.conv_dw
        self.norm = block.norm
        self.mlp = block.mlp

    def forward(self, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        y_BCHW = _norm(depthwise(x_BCHW, self.conv_dw), self.norm)
        return x_BCHW + _bottleneck(y_BCHW, self.mlp, self.gamma, products_in)


class SplitTransposeBlock(nn.Module):
    """Chained depthwise convolutions over channel splits, attention across channels, then an inverted bottleneck:
    [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, block: TimmSplitTransposeBlock) -> None:
        super().__init__()
        assert block.gamma is not None and block.gamma_xca is not None, "as in every EdgeFace"  # noqa: S101
        self.gamma_xca = block.gamma_xca
        self.gamma = block.gamma
        self.convs = block.convs
        self.pos_embd = None if block.pos_embd is None else PositionalEncoding(block.pos_embd)
        self.norm_xca = block.norm_xca
        self.xca = block.xca
        self.norm = block.norm
        self.mlp = block.mlp

    def forward(self, x_BCHW: Tensor, products_in: torch.dtype | None = None) -> Tensor:
        y_BCHW = self._convolve(x_BCHW)
        if self.pos_embd is not None:
            y_BCHW = y_BCHW + self.pos_embd(*y_BCHW.shape[2:])
        y_BCHW = y_BCHW + self._attend(_norm(y_BCHW, self.norm_xca), products_in)
        return x_BCHW + _bottleneck(_norm(y_BCHW, self.norm), self.mlp, self.gamma, products_in)

    def _convolve(self, x_BCHW: Tensor) -> Tensor:
        first, *rest = x_BCHW.chunk(len(self.convs) + 1, dim=1)
        convolved = [self.convs[0](first)]
        for conv, split in zip(self.convs[1:], rest, strict=False):
            convolved.append(conv(convolved[-1] + split))
        return torch.cat([*convolved, rest[-1]], 1)

    def _attend(self, x_BCHW: Tensor, products_in: torch.dtype | None) -> Tensor:
        batch, channels, height, width = x_BCHW.shape
        heads = self.xca.num_heads
        qkv_BCHW = _pointwise(x_BCHW, self.xca.qkv, None, products_in).float()
        q_BAKN, k_BAKN, v_BAKN = qkv_BCHW.reshape(batch, 3, heads, channels // heads, height * width).unbind(1)
        similarity_BAKK = F.normalize(q_BAKN, dim=-1) @ F.normalize(k_BAKN, dim=-1).transpose(-2, -1)
        attended_BAKN = (similarity_BAKK * self.xca.temperature).softmax(dim=-1) @ v_BAKN
        attended_BCHW = attended_BAKN.reshape(batch, channels, height, width)
        return _pointwise(_channels_last(attended_BCHW), self.xca.proj, self.gamma_xca, products_in)


class PositionalEncoding(nn.Module):
    """Fourier encoding of the positions, projected to the channels: [1, C, H, W], equal for all faces."""

    def __init__(self, encoding: TimmPositionalEncoding) -> None:
        super().__init__()
        self.token_projection = encoding.token_projection
        self._hidden_dim = encoding.hidden_dim
        self._temperature = encoding.temperature
        self._fourier: dict[tuple[int, int, torch.device], Tensor] = {}

    def forward(self, height: int, width: int) -> Tensor:
        key = (height, width, self.token_projection.weight.device)
        if key not in self._fourier:
            with torch.inference_mode(False):
                self._fourier[key] = self._encode(height, width).to(key[2])
        return self.token_projection(self._fourier[key])  # type: ignore[no-any-return]

    def _encode(self, height: int, width: int) -> Tensor:
        """[1, 2 * hidden_dim, H, W] in [-1, 1]: sines and cosines of the row, then of the column."""
        exponent = 2 * torch.div(torch.arange(self._hidden_dim), 2, rounding_mode="floor") / self._hidden_dim
        wavelength = self._temperature**exponent

        def waves(places: int) -> Tensor:
            angle = torch.arange(1, places + 1) / (places + 1e-6) * 2 * math.pi
            phase = angle[:, None] / wavelength
            return torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), 2).flatten(1)

        rows = waves(height)[:, None].expand(-1, width, -1)
        columns = waves(width)[None].expand(height, -1, -1)
        return torch.cat((rows, columns), 2).permute(2, 0, 1)[None].contiguous()


def replace_blocks(module: nn.Module) -> None:
    """Replace timm's blocks by those of this file, with the same parameters under the same names."""
    for name, child in module.named_children():
        if isinstance(child, TimmConvBlock):
            setattr(module, name, ConvBlock(child))
        elif isinstance(child, TimmSplitTransposeBlock):
            setattr(module, name, SplitTransposeBlock(child))
        else:
            replace_blocks(child)


def run_network(network: nn.Module, x_BCHW: Tensor, products_in: torch.dtype | None) -> Tensor:
    """timm's EdgeNeXt with replaced blocks, which take `products_in`: [B, 3, H, W] -> embeddings [B, D]."""
    assert isinstance(network, EdgeNeXt)  # noqa: S101
    x_BCHW = network.stem(x_BCHW)
    for stage in network.stages:
        assert isinstance(stage, EdgeNeXtStage)  # noqa: S101
        x_BCHW = stage.downsample(x_BCHW)
        for block in stage.blocks:
            x_BCHW = block(x_BCHW, products_in)
    return network.head(network.norm_pre(x_BCHW))  # type: ignore[no-any-return]


def reduce_rank(module: nn.Module, gamma: float) -> None:
    """Replace every Linear by a RankReducedLinear, as in the EdgeFace variants named gamma."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            reduced = RankReducedLinear(child.in_features, child.out_features, bias=child.bias is not None, gamma=gamma)
            setattr(module, name, reduced)
        else:
            reduce_rank(child, gamma)


def _norm(x_BCHW: Tensor, norm: nn.Module) -> Tensor:
    """Apply LayerNorm over the channels at every position."""
    return norm(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


def _bottleneck(x_BCHW: Tensor, mlp: Mlp, scale_C: Tensor, products_in: torch.dtype | None) -> Tensor:
    """Apply the block's MLP at every position and multiply its output by the layer scale."""
    hidden_BCHW = F.gelu(_pointwise(x_BCHW, mlp.fc1, None, products_in))
    return _pointwise(hidden_BCHW, mlp.fc2, scale_C, products_in)


def _pointwise(x_BCHW: Tensor, linear: nn.Module, scale_C: Tensor | None, products_in: torch.dtype | None) -> Tensor:
    """Apply a Linear or RankReducedLinear at every position and multiply its output by the layer scale."""
    if isinstance(linear, RankReducedLinear):
        return _pointwise(_pointwise(x_BCHW, linear.linear1, None, products_in), linear.linear2, scale_C, products_in)
    assert isinstance(linear, nn.Linear)  # noqa: S101
    weight: Tensor = linear.weight
    bias: Tensor | None = linear.bias
    if scale_C is not None:
        weight, bias = scale_C[:, None] * weight, None if bias is None else scale_C * bias
    if products_in is not None:
        x_BHWC = x_BCHW.permute(0, 2, 3, 1).to(products_in)
        bias = None if bias is None else bias.to(products_in)
        return F.linear(x_BHWC, weight.to(products_in), bias).permute(0, 3, 1, 2)
    if x_BCHW.device.type == "cpu":
        return F.conv2d(x_BCHW, weight[:, :, None, None], bias)
    return F.linear(x_BCHW.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def _channels_last(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.contiguous(memory_format=torch.channels_last)
