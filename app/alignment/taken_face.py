"""What a photo yields: a face, or the reason why it has none."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image


@dataclass(frozen=True)
class TakenFace:
    """An RGB face of 112x112 px. `side` is what the square of the face measures in the photo, in pixels."""

    image: Image.Image
    side: float


@dataclass(frozen=True)
class NoFace:
    """`detail` says it in words, as in `2 faces`."""

    reason: Literal["no_face", "several_faces"]
    detail: str
