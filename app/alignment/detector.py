"""BlazeFace (Bazarevsky et al., 2019): detects the faces in a square of a photo, as boxes and six rough keypoints.

Uses two models of MediaPipe: `short range` (128 px, for faces that fill much of the square) and `full range` (192 px,
for smaller faces too). Their outputs are offsets from anchors, one per box, in units of the input's side.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.alignment.networks import Network
from app.alignment.template import Array, moved
from app.alignment.warp import warp

# A anchors; P keypoints; 2 (x, y); 16 the eight points of a detection: centre, size, six keypoints.

_LEAST_SCORE = 0.5
_SAME_FACE = 0.3


@dataclass(frozen=True)
class Detection:
    """A face in pixels of the photo: `box` is left, upper, right, lower; keypoints are (x, y), the eyes first."""

    score: float
    box: Array
    keypoints_P2: Array


@dataclass(frozen=True)
class Square:
    """A window of the photo. Beyond the photo's edge it is filled with the border's pixels."""

    left: float
    upper: float
    side: float


class Detector:
    """A face detector. Not thread-safe."""

    def __init__(self) -> None:
        self._models = (
            (Network("face_detection_short_range"), _anchors(((16, 2), (8, 6)))),
            (Network("face_detection_full_range_sparse"), _anchors(((48, 1),))),
        )

    def faces(self, photo: Image.Image, square: Square) -> list[Detection]:
        """Return the faces that either model finds in the square, without duplicates, by descending confidence."""
        found: list[Detection] = []
        for network, anchors_A2 in self._models:
            found += _detect(network, anchors_A2, photo, square)
        return each_once(found)


def each_once(found: list[Detection]) -> list[Detection]:
    """Return the most confident of overlapping detections (intersection over union above 0.3)."""
    kept: list[Detection] = []
    for candidate in sorted(found, key=lambda detection: -detection.score):
        if all(overlap(candidate.box, other.box) <= _SAME_FACE for other in kept):
            kept.append(candidate)
    return kept


def overlap(one: Array, other: Array) -> float:
    """Return the intersection over union of two boxes."""
    size_2 = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(size_2, 0)))
    return shared / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def _anchors(grids: tuple[tuple[int, int], ...]) -> Array:
    """Return the centres of each grid's cells, row by row, `count` times each, in units of the side."""
    parts = []
    for cells, count in grids:
        centres = (np.arange(cells) + 0.5) / cells
        rows, columns = np.meshgrid(centres, centres, indexing="ij")
        parts.append(np.repeat(np.column_stack([columns.ravel(), rows.ravel()]), count, axis=0))
    return np.concatenate(parts)


def _detect(network: Network, anchors_A2: Array, photo: Image.Image, square: Square) -> list[Detection]:
    scale = network.side / square.side
    to_input_23 = np.array([(scale, 0, -square.left * scale), (0, scale, -square.upper * scale)])
    seen = np.asarray(warp(photo, to_input_23, network.side, smooth=False), dtype=np.float32)
    offsets_A16, logits_A1 = network(seen / np.float32(127.5) - 1)
    scores_A = 1 / (1 + np.exp(-np.clip(logits_A1[:, 0].astype(np.float64), -100, 100)))
    found = []
    for index in np.flatnonzero(scores_A >= _LEAST_SCORE):
        points_82 = offsets_A16[index].astype(np.float64).reshape(8, 2) / network.side
        centre_2, size_2 = points_82[0] + anchors_A2[index], points_82[1]
        corners_22 = np.stack([centre_2 - size_2 / 2, centre_2 + size_2 / 2])
        to_photo_23 = np.array([(square.side, 0, square.left), (0, square.side, square.upper)])
        found.append(
            Detection(
                float(scores_A[index]),
                moved(corners_22, to_photo_23).ravel(),
                moved(points_82[2:] + anchors_A2[index], to_photo_23),
            )
        )
    return found
