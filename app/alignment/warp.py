"""Warps images by a similarity transform, antialiased and with a replicated border."""

import numpy as np
from PIL import Image

from app.alignment.template import Array, inverse, moved

# P points; H W C height, width and colour of an image; 2 (x, y); 22 and 23 matrices.
_MARGIN = 3


def warp(photo: Image.Image, to_output_23: Array, side: int, *, smooth: bool = True) -> Image.Image:
    """Warp a photo to a `side` x `side` RGB image by `to_output_23`, a similarity from photo to output pixels.

    A photo larger than needed is reduced first (antialiased bicubic), so that the transform samples about one photo
    pixel per output pixel. `smooth` selects bicubic instead of bilinear interpolation.
    """
    to_photo_23 = inverse(to_output_23)
    corners_P2 = moved(np.array([(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)]), to_photo_23)
    step = max(1.0, float(np.hypot(*to_photo_23[:, 0])))
    wanted_22 = np.stack(
        [
            np.floor(corners_P2.min(axis=0) - _MARGIN * step),
            np.ceil(corners_P2.max(axis=0) + _MARGIN * step),
        ]
    )
    first_2 = np.clip(wanted_22[0], 0, np.subtract(photo.size, 1))
    last_2 = np.clip(wanted_22[1], first_2 + 1, photo.size)
    size_2 = last_2 - first_2
    width, height = np.maximum(1, np.rint(size_2 / step)).astype(int).tolist()
    patch = photo.resize((width, height), Image.Resampling.BICUBIC, box=(*first_2.tolist(), *last_2.tolist()))
    scale_2 = np.array(patch.size) / size_2
    (left, upper), (right, lower) = (
        np.rint(np.maximum(0, beyond_2 * scale_2)).astype(int).tolist()
        for beyond_2 in (first_2 - wanted_22[0], wanted_22[1] - last_2)
    )
    padded_HWC = np.pad(np.asarray(patch), ((upper, lower), (left, right), (0, 0)), mode="edge")
    to_padded_23 = to_photo_23 * scale_2[:, np.newaxis]
    to_padded_23[:, 2] += (left, upper) - first_2 * scale_2
    return Image.fromarray(padded_HWC).transform(
        (side, side),
        Image.Transform.AFFINE,
        tuple(to_padded_23.ravel().tolist()),
        Image.Resampling.BICUBIC if smooth else Image.Resampling.BILINEAR,
    )
