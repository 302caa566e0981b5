"""Infers the network from the tensors of a weights file, by names and shapes, without torch.

EdgeFace: George et al., "EdgeFace: Efficient Face Recognition Model for Edge Devices", 2023; a timm EdgeNeXt with a
512-d head. `_gamma_` variants replace every Linear by a rank-reduced pair, rank = max(2, int(min(in, out) * gamma)).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, prod
from pathlib import Path

from app.finetune.errors import WeightsMismatch, name_some

Shapes = Mapping[str, tuple[int, ...]]

EMBEDDING_SIZE = 512


@dataclass(frozen=True)
class EdgeFaceVariant:
    """An EdgeFace variant: its timm model, its rank ratio (None: full rank) and its number of parameters."""

    name: str
    timm_name: str
    stem_width: int
    gamma: float | None
    parameters: int


EDGEFACE_VARIANTS = {
    variant.name: variant
    for variant in (
        EdgeFaceVariant("edgeface_xxs", "edgenext_xx_small", 24, None, 1_244_744),
        EdgeFaceVariant("edgeface_xs", "edgenext_x_small", 32, None, 2_242_620),
        EdgeFaceVariant("edgeface_xs_gamma_06", "edgenext_x_small", 32, 0.6, 1_770_492),
        EdgeFaceVariant("edgeface_s_gamma_05", "edgenext_small", 48, 0.5, 3_652_520),
        EdgeFaceVariant("edgeface_base", "edgenext_base", 80, None, 18_225_812),
    )
}

_WRAPPERS = ("backbone_state_dict", "model_state_dict", "state_dict")
_STEM = "stem.0.weight"
_HEAD_RANK = "head.fc.linear1.weight"


def strip_prefixes(names: Mapping[str, object], anchor: str) -> str:
    """Return the prefix (`model.`, `module.`, `module.model.`, ...) of the key that ends in `anchor`, or ""."""
    pattern = re.compile(rf"^((?:model\.|module\.)*){re.escape(anchor)}$")
    return next((match.group(1) for name in names if (match := pattern.match(name))), "")


def wrapper_key(names: Mapping[str, object]) -> str | None:
    """Return the key under which a checkpoint wraps its state dict, if any."""
    return next((wrapper for wrapper in _WRAPPERS if wrapper in names), None)


def edgeface_by_stem(shapes: Shapes, path: Path | str) -> EdgeFaceVariant:
    """Return the variant by stem width and low-rank layers only. The prefix does not matter.

    Raises WeightsMismatch if no variant fits.
    """
    prefix = strip_prefixes(shapes, _STEM)
    stem = shapes.get(prefix + _STEM)
    if stem is None:
        raise WeightsMismatch(path, "EdgeFace", f"no key {_STEM} (keys: {name_some(sorted(shapes))})")
    low_rank = any(name.endswith(".linear1.weight") for name in shapes)
    for variant in EDGEFACE_VARIANTS.values():
        if stem[0] == variant.stem_width and low_rank == (variant.gamma is not None):
            return variant
    known = name_some(sorted(EDGEFACE_VARIANTS), limit=len(EDGEFACE_VARIANTS))
    kind = "low-rank" if low_rank else "full-rank"
    raise WeightsMismatch(path, "EdgeFace", f"a {kind} network with {stem[0]} stem channels is none of {known}")


def recognise_edgeface(shapes: Shapes, path: Path | str) -> EdgeFaceVariant:
    """Return the variant by stem width, low-rank layers and number of parameters.

    Raises WeightsMismatch if no variant fits.
    """
    variant = edgeface_by_stem(shapes, path)
    parameters = sum(prod(shape) for shape in shapes.values())
    if parameters != variant.parameters:
        found = "missing" if parameters < variant.parameters else "foreign or larger"
        raise WeightsMismatch(
            path, variant.name, f"{parameters:,} parameters instead of {variant.parameters:,}: tensors are {found}"
        )
    return variant


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
    """Infer C, N and factors of a DSR network from its tensors. The prefix does not matter.

    Raises WeightsMismatch, naming keys that are missing, unexpected or of another shape.
    """
    prefix = strip_prefixes(shapes, "conv_in.weight")
    bare = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    if "conv_in.weight" not in bare:
        raise WeightsMismatch(path, "DSR", f"no key conv_in.weight (keys: {name_some(sorted(bare))})")
    channels = bare["conv_in.weight"][0]
    blocks = _count(bare, r"residual_blocks\.(\d+)\.")
    factors = tuple(
        isqrt(bare.get(f"upsamplers.{index}.0.weight", (channels,))[0] // channels)
        for index in range(_count(bare, r"upsamplers\.(\d+)\."))
    )
    per_channel = any(name.endswith("prelu.weight") and shape == (channels,) for name, shape in bare.items())
    prelu = channels if per_channel else 1
    layout = DsrLayout(channels, blocks, factors, prelu)
    expected = layout.shapes()
    if difference := describe_difference(bare, expected):
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
