"""Changes of whole batches of faces that are larger than those of `augment`: blends, bends, pose, light.

The caller draws their random numbers, so that every device sees the same.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FACE_SIZE
from worker.training.data.augment import adjust_brightness, adjust_contrast

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112 pixels, K knots on a side of a grid; faces are float in
# [0, 1]; B111 is one number per face. Random numbers are `uniform` in [0, 1), or of the normal distribution.

TURN = math.radians(6)
SCALE = 0.08
SHIFT = 2.0
GAMMA = 0.5
SIDE_LIGHT = 0.7
LOWER_CONTRAST, HIGHER_CONTRAST = 0.4, 0.3
BRIGHTNESS = 0.25

_PIXEL = 2 / FACE_SIZE
"""In the coordinates of a sampling grid, which are -1 to 1."""


def blend(x_BCHW: Tensor, other_BCHW: Tensor, knots_B1KK: Tensor, bias_B: Tensor) -> Tensor:
    """Mix two faces by a smooth mask from uniform `knots`; the uniform `bias` adds to the mask, which is `x_BCHW`'s."""
    mask_B1HW = (2 * _smooth(knots_B1KK) - 1 + _per_face(bias_B)).clamp(0, 1)
    return torch.lerp(other_BCHW, x_BCHW, mask_B1HW)


def bend(x_BCHW: Tensor, knots_B2KK: Tensor) -> Tensor:
    """Displace each pixel by a smooth field from `knots`, in pixels."""
    return _sampled(x_BCHW, _identity(len(x_BCHW), x_BCHW.device), knots_B2KK)


def pose(x_BCHW: Tensor, uniform_B6: Tensor, knots_B2KK: Tensor) -> Tensor:
    """Mirror or not, rotate by up to 6 degrees, scale by up to 8 %, stretch by up to 4 %, shift by up to 2 pixels, and
    bend."""
    turn_B, scale_B, stretch_B, right_B, down_B = (2 * uniform_B6[:, :5] - 1).unbind(1)
    mirror_B = torch.where(uniform_B6[:, 5] < 0.5, -1.0, 1.0)
    turn_B = TURN * turn_B
    width_B = 1 + SCALE * scale_B
    height_B = width_B * (1 + SCALE / 2 * stretch_B)
    rows = [
        torch.stack([mirror_B * turn_B.cos() * width_B, -turn_B.sin() * height_B, SHIFT * _PIXEL * right_B], 1),
        torch.stack([mirror_B * turn_B.sin() * width_B, turn_B.cos() * height_B, SHIFT * _PIXEL * down_B], 1),
    ]
    return _sampled(x_BCHW, torch.stack(rows, 1), knots_B2KK)


def light(x_BCHW: Tensor, uniform_B5: Tensor) -> Tensor:
    """Change the tone curve, add light from one side, and change contrast and brightness."""
    gamma_B111, side_B111, strength_B111, contrast_B111, brightness_B111 = map(_per_face, uniform_B5.unbind(1))
    x_BCHW = x_BCHW.clamp_min(1e-4).pow(torch.exp(GAMMA * (2 * gamma_B111 - 1)))
    across_W = torch.linspace(-1, 1, FACE_SIZE, device=x_BCHW.device)
    angle_B111 = 2 * math.pi * side_B111
    ramp_B1HW = angle_B111.cos() * across_W + angle_B111.sin() * across_W[:, None]
    x_BCHW = (x_BCHW * (1 + SIDE_LIGHT * strength_B111 * ramp_B1HW)).clamp_(0, 1)
    x_BCHW = adjust_contrast(x_BCHW, 1 - LOWER_CONTRAST + (LOWER_CONTRAST + HIGHER_CONTRAST) * contrast_B111)
    return adjust_brightness(x_BCHW, 1 + BRIGHTNESS * (2 * brightness_B111 - 1))


def _sampled(x_BCHW: Tensor, affine_B23: Tensor, knots_B2KK: Tensor) -> Tensor:
    grid_BHW2 = F.affine_grid(affine_B23, list(x_BCHW.shape), align_corners=False)
    grid_BHW2 = grid_BHW2 + _PIXEL * _smooth(knots_B2KK).permute(0, 2, 3, 1)
    return F.grid_sample(x_BCHW, grid_BHW2, mode="bilinear", padding_mode="border", align_corners=False)


def _identity(faces: int, device: torch.device) -> Tensor:
    return torch.eye(2, 3, device=device).expand(faces, 2, 3)


def _smooth(knots_BKK: Tensor) -> Tensor:
    return F.interpolate(knots_BKK, (FACE_SIZE, FACE_SIZE), mode="bicubic", align_corners=True)


def _per_face(value_B: Tensor) -> Tensor:
    return value_B[:, None, None, None]
