"""Aligns the faces of photos."""

import threading
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel

from app.alignment.contact_sheet import write_contact_sheets
from app.alignment.finder import FaceFinder
from app.alignment.taken_face import NoFace, TakenFace
from app.alignment.template import TEMPLATE_P2, similarity
from app.alignment.warp import warp
from app.finetune.config import FACE_SIZE
from app.finetune.errors import printable

SMALL_FACE = 32


class Photo(BaseModel):
    """Result for one photo: `photo` is its path relative to the folder of photos; `landmarks` and `face_width` are in
    its pixels."""

    photo: str
    status: Literal["aligned", "no_face", "several_faces"]
    faces: int
    face_width: float | None = None
    landmarks: list[tuple[float, float]] | None = None


class AlignmentReport(BaseModel):
    """Content of alignment.json: the result for every photo that can be read."""

    format_version: Literal[1] = 1
    photos_folder: str
    largest_face: bool
    aligned: int
    no_face: list[str]
    several_faces: list[str]
    small_faces: list[str]
    subjects_left_out: list[str]
    photos: list[Photo]


class PhotoAligner:
    """Aligns the faces of photos to 112x112. A photo without a face, or with several, yields none.

    With `largest_face` the largest of several is used. `photos` is the folder that the photos' names are relative to.
    """

    def __init__(self, photos: Path, *, largest_face: bool = False) -> None:
        self._photos = photos
        self._largest_face = largest_face
        self._found: dict[str, Photo] = {}
        self._subjects: dict[str, str] = {}
        self._finders = Finders()
        self.contact_sheets: tuple[Path, ...] = ()

    @property
    def report(self) -> AlignmentReport:
        """The result for the photos so far, sorted by name."""
        photos = [self._found[name] for name in sorted(self._found)]
        aligned = [photo for photo in photos if photo.status == "aligned"]
        kept = {self._subjects[photo.photo] for photo in aligned}
        return AlignmentReport(
            photos_folder=printable(self._photos.resolve()),
            largest_face=self._largest_face,
            aligned=len(aligned),
            no_face=[photo.photo for photo in photos if photo.status == "no_face"],
            several_faces=[photo.photo for photo in photos if photo.status == "several_faces"],
            small_faces=[photo.photo for photo in aligned if (photo.face_width or 0) < SMALL_FACE],
            subjects_left_out=sorted({*self._subjects.values()} - kept),
            photos=photos,
        )

    def face(self, name: str, photo: Image.Image, subject: str) -> TakenFace | NoFace:
        """Return the aligned face of an RGB photo called `name`. Called in several threads."""
        self._subjects[name] = subject
        faces = self._finders.mine().find(photo)
        if not faces:
            self._found[name] = Photo(photo=name, status="no_face", faces=0)
            return NoFace("no_face", "no face is found")
        if len(faces) > 1 and not self._largest_face:
            self._found[name] = Photo(photo=name, status="several_faces", faces=len(faces))
            return NoFace("several_faces", f"{len(faces)} faces are found; --largest-face uses the largest")
        landmarks = [(round(float(x), 2), round(float(y), 2)) for x, y in faces[0].landmarks_52]
        width = round(faces[0].width, 1)
        self._found[name] = Photo(photo=name, status="aligned", faces=len(faces), face_width=width, landmarks=landmarks)
        to_template_23 = similarity(np.array(landmarks), TEMPLATE_P2)
        scale = float(np.hypot(to_template_23[0, 0], to_template_23[1, 0]))
        return TakenFace(warp(photo, to_template_23, FACE_SIZE), FACE_SIZE / scale)

    def describe(self, dataset: Path) -> None:
        """Write alignment.json and the contact sheets of the HR faces into the dataset's folder."""
        (dataset / "alignment.json").write_bytes(self.report.model_dump_json().encode())
        by_name = {path.name: path for path in dataset.rglob("hr_images/*.png")}
        faces = [by_name[name] for name in sorted(by_name)]
        sheets = write_contact_sheets(faces, dataset / "contact_sheets")
        self.contact_sheets = tuple(sheet.relative_to(dataset) for sheet in sheets)


class Finders:
    """One face finder per thread, created on first use."""

    def __init__(self) -> None:
        self._here = threading.local()

    def mine(self) -> FaceFinder:
        finder: FaceFinder | None = getattr(self._here, "finder", None)
        if finder is None:
            finder = self._here.finder = FaceFinder()
        return finder
