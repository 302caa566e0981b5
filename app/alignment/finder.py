"""Finds all faces in a photo: detects them, then refines each with the face mesh."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.alignment.detector import Detection, Detector, Square, each_once, overlap
from app.alignment.mesh import FaceMesh, Mesh
from app.alignment.template import Array

_SMALLEST_TILE = 64
_SAME_FACE = 0.3


@dataclass(frozen=True)
class FoundFace:
    """A face in pixels of the photo: the template's five points, width and area."""

    landmarks_52: Array
    width: float
    area: float


class FaceFinder:
    """Finds faces of any size in photos. Not thread-safe."""

    def __init__(self) -> None:
        self._detector = Detector()
        self._mesh = FaceMesh()

    def find(self, photo: Image.Image) -> list[FoundFace]:
        """Return the faces in an RGB photo, the largest first.

        Photos are resized to the detectors' input. The search covers the whole photo; without a face, the photo with a
        margin, for faces that fill it; then quarters and sixteenths of it, for small faces. If one face is found,
        others narrower than about a sixth of the photo are missed.
        """
        for squares in _searches(photo):
            detections = each_once([found for square in squares for found in self._detector.faces(photo, square)])
            if faces := self._confirmed(photo, detections):
                return faces
        return []

    def _confirmed(self, photo: Image.Image, detections: list[Detection]) -> list[FoundFace]:
        meshes: list[Mesh] = []
        for detection in detections:
            mesh = self._mesh.look(photo, detection)
            if mesh is not None and all(overlap(mesh.box, other.box) <= _SAME_FACE for other in meshes):
                meshes.append(mesh)
        return sorted((_found(mesh) for mesh in meshes), key=lambda face: -face.area)


def _searches(photo: Image.Image) -> list[list[Square]]:
    side = max(photo.size)
    searches = [[_centred(photo, side)], [_centred(photo, side * 1.5)]]
    for parts in (2, 4):
        tile = side / parts
        if tile >= _SMALLEST_TILE:
            searches.append(
                [
                    Square(left, upper, tile)
                    for upper in _starts(photo.height, tile)
                    for left in _starts(photo.width, tile)
                ]
            )
    return searches


def _centred(photo: Image.Image, side: float) -> Square:
    return Square((photo.width - side) / 2, (photo.height - side) / 2, side)


def _starts(length: float, tile: float) -> list[float]:
    """Return the starts of tiles that cover the length and overlap by at least half. One tile is centred."""
    if length <= tile:
        return [(length - tile) / 2]
    steps = int(np.ceil((length - tile) / (tile / 2)))
    return [float(start) for start in np.linspace(0, length - tile, steps + 1)]


def _found(mesh: Mesh) -> FoundFace:
    left, upper, right, lower = mesh.box
    return FoundFace(mesh.landmarks_52, float(right - left), float((right - left) * (lower - upper)))
