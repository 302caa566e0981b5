"""Random degradations that turn HR faces into realistic VLR faces.

HR -> shift -> Gaussian blur -> reduction by a random kernel -> Gaussian noise -> 8 bits -> JPEG. Each step except the
reduction applies to a random share of the faces (after Zhang et al., "Designing a Practical Degradation Model for Deep
Blind Image Super-Resolution", ICCV 2021, and Wang et al., "Real-ESRGAN", ICCVW 2021, in one pass). Without any of them
a face equals the output of `resize_bicubic`, the project's downsampler, bit for bit.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from app.finetune.dsr_config import DsrTrainingConfig

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112 pixels, S pixels of the VLR face; _u8 is uint8 in 0..255,
# without it float in [0, 1].

KERNELS = ("bicubic", "bilinear", "area")
"""Kernels that reduce an HR face. The first is the project's own, antialiased."""

_HIGHEST_QUALITY = 95


@dataclass(frozen=True)
class Drawn:
    """Degradations drawn for each face: `shift_B2` (right, down) in HR pixels, `blur_B` as sigma in HR pixels,
    `kernel_B` as index into KERNELS, `noise_BCSS` relative to full scale 1, `quality_B` of the JPEG. 0 means none."""

    shift_B2: Tensor
    blur_B: Tensor
    kernel_B: Tensor
    noise_BCSS: Tensor
    quality_B: Tensor


def draw_degradations(config: DsrTrainingConfig, count: int, size: int, generator: torch.Generator) -> Drawn:
    """Draw degradations for `count` faces reduced to `size` px. The number of draws does not depend on the
    probabilities."""

    def happens(probability: float) -> Tensor:
        return torch.rand(count, generator=generator) < probability

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    shifted, shift_B2 = happens(config.shift_probability), (2 * uniform(count, 2) - 1) * config.shift_pixels
    blurred, blur_B = happens(config.blur_probability), uniform(count) * config.blur_sigma
    other, kernel_B = happens(config.kernel_probability), torch.randint(1, len(KERNELS), (count,), generator=generator)
    noisy, sigma_B = happens(config.noise_probability), uniform(count) * config.noise_sigma / 255
    noise_BCSS = torch.randn(count, 3, size, size, generator=generator)
    coded = happens(config.jpeg_probability)
    quality_B = torch.randint(config.jpeg_quality, _HIGHEST_QUALITY + 1, (count,), generator=generator)
    return Drawn(
        shift_B2=shift_B2 * shifted[:, None],
        blur_B=blur_B * blurred,
        kernel_B=kernel_B * other,
        noise_BCSS=noise_BCSS * (sigma_B * noisy)[:, None, None, None],
        quality_B=quality_B * coded,
    )


@torch.no_grad()
def degrade(hr_u8_BCHW: Tensor, drawn: Drawn) -> Tensor:
    """Degrade HR faces uint8 [B, 3, H, W] to VLR faces uint8 [B, 3, S, S] on the same device."""
    device, size = hr_u8_BCHW.device, drawn.noise_BCSS.shape[-1]
    x_BCHW = hr_u8_BCHW.float() / 255
    x_BCHW = _where(drawn.shift_B2.any(1), x_BCHW, drawn.shift_B2, shift)
    x_BCHW = _where(drawn.blur_B > 0, x_BCHW, drawn.blur_B, blur)
    x_BCSS = torch.empty(len(x_BCHW), 3, size, size, device=device)
    for number, kernel in enumerate(KERNELS):
        chosen = (drawn.kernel_B == number).to(device)
        if chosen.any():
            x_BCSS[chosen] = reduce(x_BCHW[chosen], size, kernel)
    x_BCSS = x_BCSS + drawn.noise_BCSS.to(device)
    vlr_u8_BCSS = x_BCSS.clamp(0, 1).mul(255).round().to(torch.uint8)
    for place in drawn.quality_B.nonzero().flatten().tolist():
        vlr_u8_BCSS[place] = through_jpeg(vlr_u8_BCSS[place].cpu(), int(drawn.quality_B[place])).to(device)
    return vlr_u8_BCSS


def shift(x_BCHW: Tensor, by_B2: Tensor) -> Tensor:
    """Shift right and down by pixels or fractions of them. The border is replicated."""
    side = torch.tensor([x_BCHW.shape[3], x_BCHW.shape[2]], device=x_BCHW.device)
    theta_B23 = torch.eye(2, 3, device=x_BCHW.device).repeat(len(x_BCHW), 1, 1)
    theta_B23[:, :, 2] = -2 * by_B2.to(x_BCHW.device) / side
    grid = F.affine_grid(theta_B23, list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, grid, padding_mode="border", align_corners=False)


def blur(x_BCHW: Tensor, sigma_B: Tensor) -> Tensor:
    """Apply a Gaussian blur with one sigma in pixels per face. The border is replicated."""
    batch, channels, height, width = x_BCHW.shape
    radius = int(np.ceil(3 * float(sigma_B.max())))
    places = torch.arange(-radius, radius + 1, device=x_BCHW.device)
    weights = torch.exp(-places.square() / (2 * sigma_B.to(x_BCHW.device)[:, None].square()))
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    maps = batch * channels
    x = F.pad(x_BCHW, (radius, radius, radius, radius), mode="replicate").reshape(1, maps, height + 2 * radius, -1)
    x = F.conv2d(x, weights.view(maps, 1, -1, 1), groups=maps)
    return F.conv2d(x, weights.view(maps, 1, 1, -1), groups=maps).view(batch, channels, height, width)


def reduce(x_BCHW: Tensor, size: int, kernel: str) -> Tensor:
    """Reduce [B, 3, H, W] to [B, 3, S, S] by one of KERNELS."""
    if kernel == "area":
        return F.interpolate(x_BCHW, (size, size), mode="area")
    return F.interpolate(x_BCHW, (size, size), mode=kernel, antialias=True)


def through_jpeg(image_u8_CSS: Tensor, quality: int) -> Tensor:
    """Encode and decode uint8 [3, S, S] as JPEG of a quality in [1, 95]."""
    coded = io.BytesIO()
    Image.fromarray(image_u8_CSS.permute(1, 2, 0).numpy()).save(coded, "JPEG", quality=quality)
    with Image.open(coded) as decoded:
        return torch.from_numpy(np.array(decoded.convert("RGB"))).permute(2, 0, 1)


def _where(chosen_B: Tensor, x_BCHW: Tensor, strength_B: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Apply `change` to the chosen faces only."""
    if not chosen_B.any():
        return x_BCHW
    changed_BCHW, chosen = x_BCHW.clone(), chosen_B.to(x_BCHW.device)
    changed_BCHW[chosen] = change(x_BCHW[chosen], strength_B[chosen_B])
    return changed_BCHW
