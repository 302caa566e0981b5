"""Reads each photo once and makes its HR and VLR face."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, ImageOps

from app.alignment.taken_face import NoFace, TakenFace
from app.cores import cores
from app.dataset_build.names import Photo
from app.dataset_build.skipped import Skipped
from app.finetune.config import FACE_SIZE
from app.finetune.dataset import HR_FOLDER, VLR_FOLDER
from app.finetune.dataset_check import ImageFacts, facts_of
from app.finetune.errors import UnreadableImages, printable
from app.finetune.images import count_frames, decode_rgb, read_bytes
from app.finetune.plain_image import plain_png

Progress = Callable[[int, int], None]
"""Called with the number of photos done and their total."""

_AT_ONCE = 256


class FaceSource(Protocol):
    """Makes the HR face of a photo, such as PhotoAligner. Called in several threads."""

    def face(self, name: str, photo: Image.Image, subject: str) -> TakenFace | NoFace:
        """Return the face of an RGB photo of `subject` called `name`, its path relative to FACES with `/`."""

    def describe(self, dataset: Path) -> None:
        """Write a description of the faces into the folder of the dataset, or of its folds."""


class CentreSquare:
    """The centre square of each photo."""

    def face(self, name: str, photo: Image.Image, subject: str) -> TakenFace:  # noqa: ARG002 - a FaceSource
        return TakenFace(ImageOps.fit(photo, (FACE_SIZE, FACE_SIZE), Image.Resampling.BICUBIC), min(photo.size))

    def describe(self, dataset: Path) -> None:
        """The images are all there is to say."""


@dataclass(frozen=True)
class WrittenImage:
    """A PNG file, its size in bytes and its sha256, and what its pixels show."""

    size: int
    sha256: str
    facts: ImageFacts


@dataclass(frozen=True)
class MadeFace:
    """The face of a photo of `size` (width, height) with `frames` images in its file. `side` as in TakenFace."""

    photo: Photo
    size: tuple[int, int]
    frames: int
    side: float
    hr: WrittenImage
    vlr: WrittenImage


@dataclass(frozen=True)
class FaceMaker:
    """Makes the faces of photos below `faces`: HR images of 112 px and VLR images of `vlr_size` px, both by Pillow's
    antialiased bicubic filter, as files in `folder/{hr,vlr}_images`."""

    faces: Path
    folder: Path
    source: FaceSource
    vlr_size: int
    min_size: int

    def make_all(self, photos: Sequence[Photo], progress: Progress) -> tuple[list[MadeFace], list[Skipped]]:
        """Return the faces in the order of the photos, and the photos that are skipped."""
        made: list[MadeFace] = []
        skipped: list[Skipped] = []
        for kind in (HR_FOLDER, VLR_FOLDER):
            (self.folder / kind).mkdir(parents=True)
        with _pool() as pool:
            for start in range(0, len(photos), _AT_ONCE):
                for each in pool.map(self._make, photos[start : start + _AT_ONCE]):
                    (made if isinstance(each, MadeFace) else skipped).append(each)  # type: ignore[arg-type]
                    progress(len(made) + len(skipped), len(photos))
        return made, skipped

    def _make(self, photo: Photo) -> MadeFace | Skipped:
        """Each thread decodes one photo at a time, which bounds the memory."""
        name = printable(photo.path.relative_to(self.faces).as_posix())
        try:
            content = read_bytes(photo.path)
            image = decode_rgb(photo.path, content)
        except UnreadableImages as error:
            return Skipped(name, "unreadable", error.reasons[photo.path], photo.subject)
        face = self.source.face(name, image, photo.subject)
        if isinstance(face, NoFace):
            return Skipped(name, face.reason, face.detail, photo.subject)
        if face.side < self.min_size:
            return Skipped(name, "too_small", f"{face.side:.0f} px of {self.min_size}", photo.subject)
        vlr = face.image.resize((self.vlr_size, self.vlr_size), Image.Resampling.BICUBIC)
        written = (self._write(kind, photo, made) for kind, made in ((HR_FOLDER, face.image), (VLR_FOLDER, vlr)))
        return MadeFace(photo, image.size, count_frames(content), face.side, *written)

    def _write(self, kind: str, photo: Photo, image: Image.Image) -> WrittenImage:
        content = plain_png(image)
        (self.folder / kind / photo.file_name).write_bytes(content)
        return WrittenImage(len(content), hashlib.sha256(content).hexdigest(), facts_of(image))


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(cores() + 2)  # some wait for the disk
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
