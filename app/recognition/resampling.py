"""Enlarges images as the evaluation does (RESAMPLER in worker/training/data/preprocess.py), without torch."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.finetune.config import FACE_SIZE

_A = -0.75
"""Of the cubic kernel by which PyTorch enlarges."""


def resize_face(image: Image.Image) -> Image.Image:
    """Return the RGB image at 112 x 112: enlarged by PyTorch's bicubic kernel, within 1 of 255 of PyTorch's values; or
    reduced by Pillow, whose antialiased kernel is PyTorch's, but which clips values between its two passes."""
    size = (FACE_SIZE, FACE_SIZE)
    if image.size == size:
        return image
    if max(image.size) > FACE_SIZE:
        return image.resize(size, Image.Resampling.BICUBIC)
    pixels_HWC = np.asarray(image, dtype=np.float32) / np.float32(255)
    rows, columns = _weights(image.height), _weights(image.width)
    enlarged_HWC = np.einsum("yh,hwc,xw->yxc", rows, pixels_HWC, columns, optimize=True)
    return Image.fromarray((enlarged_HWC.clip(0, 1) * 255).round().astype(np.uint8))


def _weights(length: int) -> npt.NDArray[np.float32]:
    """[112, length]: the share of each pixel of a line in each pixel of the enlarged line. Beyond an end, its last
    pixel is repeated."""
    weights = np.zeros((FACE_SIZE, length), np.float64)
    places = (np.arange(FACE_SIZE) + 0.5) * length / FACE_SIZE - 0.5
    first = np.floor(places).astype(int)
    for offset in (-1, 0, 1, 2):
        distance = np.abs(places - (first + offset))
        pixels = (first + offset).clip(0, length - 1)
        np.add.at(weights, (np.arange(FACE_SIZE), pixels), _kernel(distance))
    return weights.astype(np.float32)


def _kernel(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel at distances in 0..2 pixels."""
    near = ((_A + 2) * distance - (_A + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * _A - 4 * _A
    kernel: npt.NDArray[np.float64] = np.where(distance <= 1, near, far)
    return kernel
