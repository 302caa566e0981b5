"""Aligns the faces of many photos on all cores."""

import os
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel

from app.alignment.contact_sheet import write_contact_sheets
from app.alignment.errors import NothingAligned
from app.alignment.finder import FaceFinder
from app.alignment.template import TEMPLATE_P2, similarity
from app.alignment.warp import warp
from app.finetune.config import FACE_SIZE
from app.finetune.errors import UnreadableImages, printable
from app.finetune.images import read_rgb

SMALL_FACE = 32
Progress = Callable[[int, int], None]
"""Called with the number of photos done and their total."""


class Photo(BaseModel):
    """Result for one photo: `photo` is SUBJECT/IMAGE; `landmarks` and `face_width` are in its pixels."""

    photo: str
    status: Literal["aligned", "no_face", "several_faces"]
    faces: int
    face_width: float | None = None
    landmarks: list[tuple[float, float]] | None = None


class AlignmentReport(BaseModel):
    """Content of alignment.json: the result for every photo."""

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
    """Aligns the faces of photos to 112x112. A photo without a face, or with several, is skipped and reported.

    With `largest_face` the largest of several is used. `report` is None before `keep` has run.
    """

    def __init__(self, *, largest_face: bool = False, progress: Progress | None = None) -> None:
        self._largest_face = largest_face
        self._progress = progress or (lambda _done, _all: None)
        self._found: dict[Path, Photo] = {}
        self.report: AlignmentReport | None = None
        self.contact_sheets: tuple[Path, ...] = ()

    def keep(self, folder: Path, sources: Sequence[Path]) -> Collection[Path]:
        """Return the photos in `folder` whose face can be aligned.

        Raises UnreadableImages, naming every photo that cannot be decoded, or NothingAligned.
        """
        self._found = self._look_at(folder, sources)
        self.report = self._reported(folder)
        if not self.report.aligned:
            raise NothingAligned(folder, len(self.report.no_face), len(self.report.several_faces))
        return [source for source, photo in self._found.items() if photo.status == "aligned"]

    def face(self, source: Path) -> Image.Image:
        """Return the aligned RGB face, 112x112, of a photo that `keep` returned."""
        landmarks = self._found[source].landmarks
        return warp(read_rgb(source), similarity(np.array(landmarks), TEMPLATE_P2), FACE_SIZE)

    def describe(self, dataset: Path) -> None:
        """Write alignment.json and the contact sheets of the HR faces into the dataset's folder."""
        if self.report is not None:
            (dataset / "alignment.json").write_text(self.report.model_dump_json())
        by_name = {path.name: path for path in dataset.rglob("hr_images/*.png")}
        faces = [by_name[name] for name in sorted(by_name)]
        sheets = write_contact_sheets(faces, dataset / "contact_sheets")
        self.contact_sheets = tuple(sheet.relative_to(dataset) for sheet in sheets)

    def _look_at(self, folder: Path, sources: Sequence[Path]) -> dict[Path, Photo]:
        found: dict[Path, Photo] = {}
        unreadable: dict[Path, str] = {}
        finders = Finders()
        pool = ThreadPoolExecutor(cores())
        try:
            looked_at = pool.map(lambda source: self._look(finders, folder, source), sources)
            for source, photo in zip(sources, looked_at, strict=True):
                if isinstance(photo, Photo):
                    found[source] = photo
                else:
                    unreadable[source] = photo
                self._progress(len(found) + len(unreadable), len(sources))
        finally:
            pool.shutdown(cancel_futures=True)
        if unreadable:
            raise UnreadableImages(unreadable)
        return found

    def _look(self, finders: "Finders", folder: Path, source: Path) -> Photo | str:
        """Return the faces in the photo, or the reason why it cannot be read."""
        try:
            image = read_rgb(source)
        except UnreadableImages as error:
            return error.reasons[source]
        faces = finders.mine().find(image)
        name = printable(source.relative_to(folder).as_posix())
        if not faces:
            return Photo(photo=name, status="no_face", faces=0)
        if len(faces) > 1 and not self._largest_face:
            return Photo(photo=name, status="several_faces", faces=len(faces))
        landmarks = [(round(float(x), 2), round(float(y), 2)) for x, y in faces[0].landmarks_52]
        return Photo(
            photo=name, status="aligned", faces=len(faces), face_width=round(faces[0].width, 1), landmarks=landmarks
        )

    def _reported(self, folder: Path) -> AlignmentReport:
        photos = list(self._found.values())
        aligned = [photo for photo in photos if photo.status == "aligned"]
        subjects, kept = ({photo.photo.split("/")[0] for photo in some} for some in (photos, aligned))
        return AlignmentReport(
            photos_folder=printable(folder.resolve()),
            largest_face=self._largest_face,
            aligned=len(aligned),
            no_face=[photo.photo for photo in photos if photo.status == "no_face"],
            several_faces=[photo.photo for photo in photos if photo.status == "several_faces"],
            small_faces=[photo.photo for photo in aligned if (photo.face_width or 0) < SMALL_FACE],
            subjects_left_out=sorted(subjects - kept),
            photos=photos,
        )


class Finders:
    """One face finder per thread, created on first use."""

    def __init__(self) -> None:
        self._here = threading.local()

    def mine(self) -> FaceFinder:
        finder: FaceFinder | None = getattr(self._here, "finder", None)
        if finder is None:
            finder = self._here.finder = FaceFinder()
        return finder


def cores() -> int:
    """Return the number of cores that this process may use. Each decodes one photo at a time, which bounds memory."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
