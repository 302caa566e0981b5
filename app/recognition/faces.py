"""The face of a photo, as a model takes it: 112 x 112 pixels, RGB."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.alignment.finder import FaceFinder
from app.alignment.template import TEMPLATE_P2, similarity
from app.alignment.warp import warp
from app.finetune.config import FACE_SIZE
from app.finetune.errors import UnreadableImages
from app.finetune.image_decoder import open_image
from app.finetune.image_limits import ImageTooLarge
from app.finetune.images import decode_rgb
from app.recognition.errors import FaceNotFound, PhotoUnreadable, SeveralFaces
from app.recognition.resampling import resize_face
from app.recognition.task import MOST_PHOTO_PIXELS, SMALL_CROP, How, Photo


@dataclass(frozen=True)
class Face:
    """`image` is 112 x 112. The others as in EmbeddedFace."""

    image: Image.Image
    size: tuple[int, int]
    how: How
    faces: int
    side: float


class Faces:
    """Reads photos and finds their faces. Not thread-safe."""

    def __init__(self, *, align: bool) -> None:
        self._align = align
        self._finder: FaceFinder | None = None

    def face_of(self, photo: Photo) -> Face:
        """Raises PhotoUnreadable, FaceNotFound, SeveralFaces and TooLittleMemory."""
        image = _read(photo)
        if max(image.size) < SMALL_CROP:
            return Face(resize_face(image), image.size, "enlarged", 0, float(max(image.size)))
        if not self._align:
            return Face(resize_face(image), image.size, "as_given", 0, float(max(image.size)))
        self._finder = self._finder or FaceFinder()
        found = self._finder.find(image)
        if not found:
            raise FaceNotFound(photo.name)
        if len(found) > 1:
            raise SeveralFaces(photo.name, len(found))
        to_template_23 = similarity(found[0].landmarks_52, TEMPLATE_P2)
        scale = float(np.hypot(to_template_23[0, 0], to_template_23[1, 0]))
        return Face(warp(image, to_template_23, FACE_SIZE), image.size, "aligned", 1, FACE_SIZE / scale)


def _read(photo: Photo) -> Image.Image:
    """Raises PhotoUnreadable, also for an image with too many pixels, of which none is decoded, and TooLittleMemory."""
    try:
        with open_image(photo.content) as opened:
            pixels = opened.width * opened.height
    except ImageTooLarge as error:
        raise PhotoUnreadable(photo.name, str(error)) from None
    except Exception:  # Pillow raises anything for damaged files; `decode_rgb` says why
        pixels = 0
    if pixels > MOST_PHOTO_PIXELS:
        raise PhotoUnreadable(photo.name, f"it has {pixels:,} pixels; {MOST_PHOTO_PIXELS:,} is the most")
    path = Path(photo.name)
    try:
        return decode_rgb(path, photo.content)
    except UnreadableImages as error:
        raise PhotoUnreadable(photo.name, error.reasons[path]) from None
