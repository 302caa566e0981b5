"""Infers the network from the tensors of a weights file, by names and shapes, without torch.

EdgeFace: George et al., "EdgeFace: Efficient Face Recognition Model for Edge Devices", 2023; a timm EdgeNeXt with a
512-d head. `_gamma_` variants replace every Linear by a rank-reduced pair, rank = max(2, int(min(in, out) * gamma)).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path

from app.finetune.edgeface_shapes import edgeface_shapes
from app.finetune.errors import name_some
from app.finetune.state_dicts import ANCHORS
from app.finetune.weights_errors import WeightsMismatch

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class EdgeFaceVariant:
    """An EdgeFace variant: its timm model with the channels and blocks of the four stages and the attention heads, its
    rank ratio (None: full rank) and its number of parameters."""

    name: str
    timm_name: str
    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    heads: int
    gamma: float | None
    parameters: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the network's state dict by name."""
        return edgeface_shapes(self.dims, self.depths, self.heads, self.gamma)


def _variant(name: str, size: str, gamma: float | None, parameters: int) -> EdgeFaceVariant:
    dims, depths, heads = _EDGENEXT[size]
    return EdgeFaceVariant(
        name=name,
        timm_name=f"edgenext_{size}",
        dims=dims,
        depths=depths,
        heads=heads,
        gamma=gamma,
        parameters=parameters,
    )


_EDGENEXT = {
    "xx_small": ((24, 48, 88, 168), (2, 2, 6, 2), 4),
    "x_small": ((32, 64, 100, 192), (3, 3, 9, 3), 4),
    "small": ((48, 96, 160, 304), (3, 3, 9, 3), 8),
    "base": ((80, 160, 288, 584), (3, 3, 9, 3), 8),
}
"""Channels, blocks and heads by size."""

EDGEFACE_VARIANTS = {
    variant.name: variant
    for variant in (
        _variant("edgeface_xxs", "xx_small", None, 1_244_744),
        _variant("edgeface_xs", "x_small", None, 2_242_620),
        _variant("edgeface_xs_gamma_06", "x_small", 0.6, 1_770_492),
        _variant("edgeface_s_gamma_05", "small", 0.5, 3_652_520),
        _variant("edgeface_base", "base", None, 18_225_812),
    )
}


def recognise_edgeface(shapes: Shapes, path: Path | str) -> EdgeFaceVariant:
    """Return the variant whose keys and shapes these are.

    Raises WeightsMismatch if no variant fits.
    """
    stem = shapes.get(ANCHORS["EdgeFace"], ())
    low_rank = any(name.endswith(".linear1.weight") for name in shapes)
    for variant in EDGEFACE_VARIANTS.values():
        if stem[:1] == variant.dims[:1] and low_rank == (variant.gamma is not None):
            if difference := describe_difference(shapes, variant.shapes()):
                raise WeightsMismatch(path, variant.name, difference)
            return variant
    known = name_some(sorted(EDGEFACE_VARIANTS), limit=len(EDGEFACE_VARIANTS))
    kind = "low-rank" if low_rank else "full-rank"
    raise WeightsMismatch(
        path, "EdgeFace", f"a {kind} network with {stem[0] if stem else 'no'} stem channels is none of {known}"
    )


@dataclass(frozen=True)
class DsrLayout:
    """Layout of a DSR network: C channels, N residual blocks, pixel-shuffle factors, and the parameters of a PReLU (1,
    or C: per channel)."""

    channels: int
    blocks: int
    factors: tuple[int, ...]
    prelu_parameters: int

    @property
    def enlargement(self) -> int:
        """Upsampling factor of the whole network."""
        return prod(self.factors)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the network's state dict by name."""
        c = self.channels
        shapes: dict[str, tuple[int, ...]] = {"conv_in.weight": (c, 3, 3, 3), "conv_in.bias": (c,)}
        for block in range(self.blocks):
            for conv in ("conv1", "conv2"):
                shapes[f"residual_blocks.{block}.{conv}.weight"] = (c, c, 3, 3)
                shapes[f"residual_blocks.{block}.{conv}.bias"] = (c,)
            shapes[f"residual_blocks.{block}.prelu.weight"] = (self.prelu_parameters,)
        for index, factor in enumerate(self.factors):
            shapes[f"upsamplers.{index}.0.weight"] = (c * factor**2, c, 3, 3)
            shapes[f"upsamplers.{index}.0.bias"] = (c * factor**2,)
            shapes[f"upsamplers.{index}.2.weight"] = (self.prelu_parameters,)
        return shapes | {"conv_out.weight": (3, c, 3, 3), "conv_out.bias": (3,)}


def infer_dsr_layout(shapes: Shapes, path: Path | str) -> DsrLayout:
    """Infer C, N and factors of a DSR network from its tensors.

    Raises WeightsMismatch, naming keys that are missing, unexpected or of another shape.
    """
    first = shapes.get(ANCHORS["DSR"], ())
    if len(first) != 4 or first[0] == 0:
        raise WeightsMismatch(path, "DSR", f"{ANCHORS['DSR']} is {first} instead of (C, 3, 3, 3)")
    channels = first[0]
    blocks = _count(shapes, r"residual_blocks\.(\d+)\.")
    factors = tuple(
        isqrt(shapes.get(f"upsamplers.{index}.0.weight", (channels,))[0] // channels)
        for index in range(_count(shapes, r"upsamplers\.(\d+)\."))
    )
    per_channel = any(name.endswith("prelu.weight") and shape == (channels,) for name, shape in shapes.items())
    prelu = channels if per_channel else 1
    layout = DsrLayout(channels, blocks, factors, prelu)
    expected = layout.shapes()
    if difference := describe_difference(shapes, expected):
        factor_names = "x".join(map(str, factors)) or "none"
        architecture = f"a DSR network of {channels} channels, {blocks} blocks, factors {factor_names}"
        raise WeightsMismatch(path, architecture, difference)
    return layout


def describe_difference(found: Shapes, expected: Shapes) -> str | None:
    """Describe the difference of two state dicts' keys and shapes. None if they are equal."""
    parts = []
    if missing := sorted(expected.keys() - found.keys()):
        parts.append(f"missing keys {name_some(missing)}")
    if foreign := sorted(found.keys() - expected.keys()):
        parts.append(f"unexpected keys {name_some(foreign)}")
    other = [
        f"{name} is {found[name]} instead of {expected[name]}"
        for name in sorted(found.keys() & expected.keys())
        if tuple(found[name]) != tuple(expected[name])
    ]
    if other:
        parts.append(name_some(other, limit=3))
    return "; ".join(parts) or None


def _count(names: Shapes, pattern: str) -> int:
    return len({match.group(1) for name in names if (match := re.match(pattern, name))})
