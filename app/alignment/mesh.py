"""MediaPipe face mesh (Kartynnik et al., 2019): 468 landmarks of a detected face."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from app.alignment.detector import Detection
from app.alignment.networks import Network
from app.alignment.template import Array, inverse, moved
from app.alignment.warp import warp

# P points of a face; 2 (x, y); 52 the five points of the template.

# The contour of each eye's opening. Its mean is the eye's centre, independent of the gaze.
_LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_NOSE_TIP, _LEFT_MOUTH_CORNER, _RIGHT_MOUTH_CORNER = 1, 61, 291
_LEFT_EYE_OUTER, _RIGHT_EYE_OUTER = 33, 263

_AROUND = 1.5
_LEAST_PRESENCE = 0.5
_LEAST_LOOKS, _MOST_LOOKS = 3, 6
_SETTLED = 0.02


@dataclass(frozen=True)
class Mesh:
    """A face in pixels of the photo: 468 landmarks and the confidence in [0, 1]."""

    presence: float
    points_P2: Array

    @property
    def landmarks_52(self) -> Array:
        """The template's points: left and right eye, nose tip, left and right mouth corner."""
        points_P2 = self.points_P2
        return np.stack(
            [
                points_P2[list(_LEFT_EYE)].mean(axis=0),
                points_P2[list(_RIGHT_EYE)].mean(axis=0),
                points_P2[_NOSE_TIP],
                points_P2[_LEFT_MOUTH_CORNER],
                points_P2[_RIGHT_MOUTH_CORNER],
            ]
        )

    @property
    def box(self) -> Array:
        """Bounding box of the landmarks: left, upper, right, lower."""
        return np.concatenate([self.points_P2.min(axis=0), self.points_P2.max(axis=0)])


class FaceMesh:
    """The face mesh network. Not thread-safe."""

    def __init__(self) -> None:
        self._network = Network("face_landmark")

    def look(self, photo: Image.Image, detection: Detection) -> Mesh | None:
        """Return the landmarks of a detected face, or None if the network finds no face there.

        The network runs again on the square around its own landmarks until they move by less than 2% of the face, so
        that the result hardly depends on the detector. If they do not converge, the detection was too rough.
        """
        left, upper, right, lower = detection.box
        centre_2 = np.array([(left + right) / 2, (upper + lower) / 2])
        mesh = self._once(photo, centre_2, max(right - left, lower - upper), *detection.keypoints_P2[:2])
        for look in range(2, _MOST_LOOKS + 1):
            if mesh.presence < _LEAST_PRESENCE:
                return None
            before_52, box = mesh.landmarks_52, mesh.box
            eyes = mesh.points_P2[_LEFT_EYE_OUTER], mesh.points_P2[_RIGHT_EYE_OUTER]
            size = float((box[2:] - box[:2]).max())
            mesh = self._once(photo, (box[:2] + box[2:]) / 2, size, *eyes)
            moves = np.sqrt(((mesh.landmarks_52 - before_52) ** 2).sum(axis=1).mean())
            if look >= _LEAST_LOOKS and moves < _SETTLED * size:
                return mesh if mesh.presence >= _LEAST_PRESENCE else None
        return None

    def _once(self, photo: Image.Image, centre_2: Array, size: float, left_eye_2: Array, right_eye_2: Array) -> Mesh:
        side = self._network.side
        scale = side / (size * _AROUND)
        x, y = right_eye_2 - left_eye_2
        cos, sin = (x / np.hypot(x, y), y / np.hypot(x, y))
        turn_22 = scale * np.array([(cos, sin), (-sin, cos)])
        to_input_23 = np.column_stack([turn_22, side / 2 - turn_22 @ centre_2])
        seen = np.asarray(warp(photo, to_input_23, side, smooth=False), dtype=np.float32)
        points, logit = sorted(self._network(seen / np.float32(255)), key=lambda output: -output.size)
        points_P2 = points.reshape(-1, 3)[:, :2].astype(np.float64)
        return Mesh(float(1 / (1 + np.exp(-logit.item()))), moved(points_P2, inverse(to_input_23)))
