"""Keys and shapes of EdgeFace's state dict, as timm's EdgeNeXt has them, without torch."""

from collections.abc import Iterator, Sequence

EMBEDDING_SIZE = 512

_KERNELS = (3, 5, 7, 9)
"""Side of the depthwise convolutions of each stage."""
_SPLITS = (1, 2, 3, 4)
"""Channel splits of each stage's last block. Stage 0 has no such block."""
_EXPANSION = 4
_FOURIER_CHANNELS = 64

_Shape = tuple[str, tuple[int, ...]]


def edgeface_shapes(
    dims: Sequence[int], depths: Sequence[int], heads: int, gamma: float | None
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor by name.

    `dims` and `depths` are the channels and the blocks of the four stages. `gamma` is the rank ratio of the Linear
    layers, None for full rank.
    """
    linear = _Linear(gamma)
    shapes = [*_affine("stem.0", dims[0], 3, 4, 4), *_affine("stem.1", dims[0])]
    for stage, (channels, depth) in enumerate(zip(dims, depths, strict=True)):
        name = f"stages.{stage}"
        if stage > 0:
            shapes += _affine(f"{name}.downsample.0", dims[stage - 1])
            shapes += _affine(f"{name}.downsample.1", channels, dims[stage - 1], 2, 2)
        for block in range(depth):
            is_split = stage > 0 and block == depth - 1
            attention = _attention(f"{name}.blocks.{block}", stage, channels, heads, linear) if is_split else ()
            convolution = (
                () if is_split else _affine(f"{name}.blocks.{block}.conv_dw", channels, 1, *2 * [_KERNELS[stage]])
            )
            shapes += [*attention, *convolution, *_bottleneck(f"{name}.blocks.{block}", channels, linear)]
    shapes += _affine("head.norm", dims[-1])
    shapes += linear("head.fc", dims[-1], EMBEDDING_SIZE)
    return dict(shapes)


class _Linear:
    def __init__(self, gamma: float | None) -> None:
        self._gamma = gamma

    def __call__(self, name: str, inputs: int, outputs: int) -> list[_Shape]:
        if self._gamma is None:
            return _affine(name, outputs, inputs)
        rank = max(2, int(min(inputs, outputs) * self._gamma))
        return [(f"{name}.linear1.weight", (rank, inputs)), *_affine(f"{name}.linear2", outputs, rank)]


def _affine(name: str, outputs: int, *inputs: int) -> list[_Shape]:
    """Weight and bias of a norm, a Linear or a convolution."""
    return [(f"{name}.weight", (outputs, *inputs)), (f"{name}.bias", (outputs,))]


def _bottleneck(name: str, channels: int, linear: _Linear) -> Iterator[_Shape]:
    yield f"{name}.gamma", (channels,)
    yield from _affine(f"{name}.norm", channels)
    yield from linear(f"{name}.mlp.fc1", channels, _EXPANSION * channels)
    yield from linear(f"{name}.mlp.fc2", _EXPANSION * channels, channels)


def _attention(name: str, stage: int, channels: int, heads: int, linear: _Linear) -> Iterator[_Shape]:
    width = -(-channels // _SPLITS[stage])
    for index in range(_SPLITS[stage] - 1):
        yield from _affine(f"{name}.convs.{index}", width, 1, 3, 3)
    if stage == 1:
        yield from _affine(f"{name}.pos_embd.token_projection", channels, _FOURIER_CHANNELS, 1, 1)
    yield f"{name}.gamma_xca", (channels,)
    yield from _affine(f"{name}.norm_xca", channels)
    yield f"{name}.xca.temperature", (heads, 1, 1)
    yield from linear(f"{name}.xca.qkv", channels, 3 * channels)
    yield from linear(f"{name}.xca.proj", channels, channels)
