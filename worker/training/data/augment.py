"""Flips and colour jitter of whole batches on the device, with random numbers of each face's own."""

import torch
from torch import Tensor

# Shape suffixes: B faces, C = 3 channels (RGB), H and W pixels; _u8 is uint8 in 0..255, without it float in [0, 1];
# B111 is one number per face; 4 random numbers per face.

FLIP_PROBABILITY = 0.5
BRIGHTNESS = 0.05
CONTRAST = 0.05
SATURATION = 0.03

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601, the weights torchvision takes


def draw(faces: int, generator: torch.Generator) -> Tensor:
    """The random numbers for `augment`: [4, B] in [0, 1), on the generator's device, so that every device and every
    division of the batch sees the same."""
    return torch.rand(4, faces, generator=generator, device=generator.device)


def augment(x_u8_BCHW: Tensor, drawn_4B: Tensor) -> Tensor:
    """uint8 faces -> faces in [0, 1], each flipped or not and jittered by its random numbers from `draw`, which are on
    the faces' device.

    Horizontal flip with p 0.5; then brightness 1 +- 0.05, contrast 1 +- 0.05 and saturation 1 +- 0.03, in this order,
    by torchvision's definitions.
    """
    flip_B, brightness_B, contrast_B, saturation_B = drawn_4B
    x_u8_BCHW = flip(x_u8_BCHW, flip_B)
    x_BCHW = adjust_brightness(x_u8_BCHW, _factor(brightness_B, BRIGHTNESS) / 255)
    x_BCHW = adjust_contrast(x_BCHW, _factor(contrast_B, CONTRAST))
    return adjust_saturation(x_BCHW, _factor(saturation_B, SATURATION))


def flip(x_BCHW: Tensor, flip_B: Tensor) -> Tensor:
    """Mirror the faces whose random number is below 0.5."""
    return torch.where(_per_face(flip_B) < FLIP_PROBABILITY, x_BCHW.flip(3), x_BCHW)


def adjust_brightness(x_BCHW: Tensor, factor_B111: Tensor) -> Tensor:
    """Towards black below 1, away from it above; clamped to [0, 1]."""
    return (x_BCHW * factor_B111).clamp_(0, 1)


def adjust_contrast(x_BCHW: Tensor, factor_B111: Tensor) -> Tensor:
    """Towards the face's mean grey below 1, away from it above; clamped to [0, 1]."""
    mean_B111 = _grey(x_BCHW).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean_B111, x_BCHW, factor_B111).clamp_(0, 1)


def adjust_saturation(x_BCHW: Tensor, factor_B111: Tensor) -> Tensor:
    """Towards each pixel's grey below 1, away from it above; clamped to [0, 1]."""
    return torch.lerp(_grey(x_BCHW), x_BCHW, factor_B111).clamp_(0, 1)


def _factor(drawn_B: Tensor, spread: float) -> Tensor:
    return _per_face(1 + spread * (2 * drawn_B - 1))


def _per_face(value_B: Tensor) -> Tensor:
    return value_B[:, None, None, None]


def _grey(x_BCHW: Tensor) -> Tensor:
    red, green, blue = (x_BCHW[:, i : i + 1] for i in range(3))
    return (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
