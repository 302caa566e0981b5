"""The five-point template that EdgeFace was trained on, and the similarity transform to it.

Points are (x, y) in pixels, x to the right, y down, with (0, 0) at the upper left corner of the first pixel. Left and
right are those of the image.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

# P points; 2 (x, y); 22 and 23 matrices.

# Eye centres left and right, nose tip, mouth corners left and right, in a face of 112x112.
# InsightFace's template, which the official EdgeFace code aligns to (Guo et al., 2018; George et al., 2023).
TEMPLATE_P2: Array = np.array([(38.29, 51.70), (73.53, 51.50), (56.03, 71.74), (41.55, 92.37), (70.73, 92.20)])


def similarity(from_P2: Array, to_P2: Array) -> Array:
    """Return the least-squares similarity transform (scale, rotation, shift; no mirroring), 2x3.

    It minimises the squared distances between the transformed `from_P2` and `to_P2`, which in two dimensions is linear
    in scale * cos and scale * sin (Umeyama, 1991, in closed form).
    """
    from_mean_2, to_mean_2 = from_P2.mean(axis=0), to_P2.mean(axis=0)
    centred_P2, target_P2 = from_P2 - from_mean_2, to_P2 - to_mean_2
    spread = (centred_P2**2).sum()
    scaled_cos = (centred_P2 * target_P2).sum() / spread
    scaled_sin = (centred_P2[:, 0] * target_P2[:, 1] - centred_P2[:, 1] * target_P2[:, 0]).sum() / spread
    turn_22 = np.array([(scaled_cos, -scaled_sin), (scaled_sin, scaled_cos)])
    return np.column_stack([turn_22, to_mean_2 - turn_22 @ from_mean_2])


def moved(points_P2: Array, transform_23: Array) -> Array:
    """Apply the transform to points."""
    return points_P2 @ transform_23[:, :2].T + transform_23[:, 2]


def inverse(transform_23: Array) -> Array:
    """Return the inverse transform, 2x3."""
    turn_22 = np.linalg.inv(transform_23[:, :2])
    return np.column_stack([turn_22, -turn_22 @ transform_23[:, 2]])


def misalignment(landmarks_P2: Array) -> float:
    """Return how far alignment would move the five landmarks of a 112x112 face: root mean square in pixels.

    It is 0 if no similarity transform brings the landmarks closer to the template. It excludes the distance due to the
    face's shape and pose, which alignment cannot remove.
    """
    moves_P2 = moved(landmarks_P2, similarity(landmarks_P2, TEMPLATE_P2)) - landmarks_P2
    return float(np.sqrt((moves_P2**2).sum(axis=1).mean()))
