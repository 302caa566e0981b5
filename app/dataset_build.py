"""Builds the guide's dataset layout from a folder of faces per subject."""

import random
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from PIL import Image, ImageOps, UnidentifiedImageError

from app.finetune.config import FACE_SIZE
from app.finetune.dataset import IMAGE_SUFFIXES, open_rgb
from app.finetune.errors import DataError, FolderEmpty, FolderMissing, UnreadableImages, name_some

SplitBy = Literal["subjects", "images"]
_SPLITS = ("train_processed", "val_processed")


class NamesCollide(DataError):
    code = "names_collide"

    def __init__(self, name: str, sources: list[Path]) -> None:
        super().__init__(
            f"{name_some(sources)} would all become {name}", "rename the folders or files so that their names differ"
        )


class OutputNotEmpty(DataError):
    code = "output_exists"

    def __init__(self, output: Path) -> None:
        super().__init__(f"{output} exists already", "choose another --output, or remove it first")


class TooFewToSplit(DataError):
    code = "too_few_to_split"

    def __init__(self, faces: Path, what: str) -> None:
        super().__init__(f"{faces} has too few {what} to split", "give more faces, or split by --split images")


@dataclass(frozen=True)
class Face:
    subject: str
    source: Path
    file_name: str


@dataclass(frozen=True)
class BuiltDataset:
    """What was written where: numbers of images and of subjects in each half."""

    output: Path
    train_images: int
    train_subjects: int
    val_images: int
    val_subjects: int


class FaceSource(Protocol):
    """Where HR faces come from, other than the centres of the images: PhotoAligner is one."""

    def keep(self, folder: Path, sources: Sequence[Path]) -> Collection[Path]:
        """The images in `folder` that a face can be had of; the others are left out."""

    def face(self, source: Path) -> Image.Image:
        """The RGB face of an image kept, 112x112. Raises what Pillow raises where it cannot be read."""

    def describe(self, dataset: Path) -> None:
        """Write what a person should see of it beside the halves of the dataset, which are there."""


def build_dataset(
    faces: Path,
    output: Path,
    *,
    face_source: FaceSource | None = None,
    vlr_size: int = 16,
    split: SplitBy = "subjects",
    val_fraction: float = 0.25,
    seed: int = 42,
) -> BuiltDataset:
    """Write `output/{train,val}_processed/{vlr_images,hr_images}` from `faces/SUBJECT/IMAGE`.

    HR images are the centre square at 112x112, or what `face_source` makes of an image, which may leave images out;
    VLR images are those reduced to `vlr_size` (4..111 px). Both by Pillow's antialiased bicubic. `split` by "subjects"
    keeps val's people out of train; by "images" gives each subject to both.
    The folder appears once it is whole; names and split depend on the names in `faces` and on `seed` alone.

    Raises FolderMissing, FolderEmpty, UnreadableImages, NamesCollide, OutputNotEmpty or TooFewToSplit.
    """
    if output.exists():
        raise OutputNotEmpty(output)
    found = _find_faces(faces)
    if face_source is not None:
        kept = set(face_source.keep(faces, [face.source for face in found]))
        found = [face for face in found if face.source in kept]
    halves = _split(found, split, val_fraction, random.Random(seed), faces)
    aside = output.with_name(output.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for name, half in zip(_SPLITS, halves, strict=True):
            _write_half(half, aside / name, vlr_size, face_source)
        if face_source is not None:
            face_source.describe(aside)
        aside.replace(output)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    train, val = halves
    return BuiltDataset(
        output, len(train), len({face.subject for face in train}), len(val), len({face.subject for face in val})
    )


def _find_faces(folder: Path) -> list[Face]:
    if not folder.is_dir():
        raise FolderMissing(folder)
    sources = [
        path
        for path in sorted(folder.glob("*/*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.parent.name.startswith(".")
    ]
    if not sources:
        raise FolderEmpty(folder)
    found: dict[str, list[Path]] = {}
    subjects: dict[str, set[str]] = {}
    for source in sources:
        found.setdefault(_file_name(source), []).append(source)
        subjects.setdefault(_subject(source), set()).add(source.parent.name)
    for name, same in found.items():
        if len(same) > 1:
            raise NamesCollide(name, same)
    for subject, folders in subjects.items():
        if len(folders) > 1:
            raise NamesCollide(subject, [folder / name for name in sorted(folders)])
    return [Face(_subject(source), source, name) for name, (source,) in found.items()]


def _subject(source: Path) -> str:
    """The folder's name without `_`, which ends the subject in a file name."""
    return re.sub(r"[_\s]+", "-", source.parent.name)


def _file_name(source: Path) -> str:
    stem = re.sub(r"\s+", "-", source.stem)
    return f"{_subject(source)}_{stem}.png"


def _split(
    found: list[Face], split: SplitBy, val_fraction: float, chance: random.Random, folder: Path
) -> tuple[list[Face], list[Face]]:
    by_subject: dict[str, list[Face]] = {}
    for face in found:
        by_subject.setdefault(face.subject, []).append(face)
    if split == "subjects":
        names = sorted(by_subject)
        if len(names) < 4:
            raise TooFewToSplit(folder, "subjects")
        chance.shuffle(names)
        count = min(max(2, round(len(names) * val_fraction)), len(names) - 2)
        in_val = {face.file_name for name in names[:count] for face in by_subject[name]}
    else:
        in_val = {face.file_name for faces in by_subject.values() for face in _choose(faces, val_fraction, chance)}
        if not in_val:
            raise TooFewToSplit(folder, "images per subject")
    return [face for face in found if face.file_name not in in_val], [
        face for face in found if face.file_name in in_val
    ]


def _choose(faces: list[Face], val_fraction: float, chance: random.Random) -> list[Face]:
    """A subject with one image keeps it for training."""
    count = min(max(1, round(len(faces) * val_fraction)), len(faces) - 1)
    return chance.sample(faces, count)


def _write_half(half: list[Face], directory: Path, vlr_size: int, face_source: FaceSource | None) -> None:
    for folder in ("vlr_images", "hr_images"):
        (directory / folder).mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda face: _write_face(face, directory, vlr_size, face_source), half)
        if reasons := dict(_named(half, results)):
            raise UnreadableImages(reasons)


def _named(half: list[Face], reasons: Iterator[str | None]) -> Iterator[tuple[Path, str]]:
    for face, reason in zip(half, reasons, strict=True):
        if reason is not None:
            yield face.source, reason


def _write_face(face: Face, directory: Path, vlr_size: int, face_source: FaceSource | None) -> str | None:
    """None, or why the image cannot be read."""
    try:
        hr = face_source.face(face.source) if face_source is not None else _centre(open_rgb(face.source))
    except UnidentifiedImageError:
        return "not an image"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
    hr.save(directory / "hr_images" / face.file_name)
    vlr = hr.resize((vlr_size, vlr_size), Image.Resampling.BICUBIC)
    vlr.save(directory / "vlr_images" / face.file_name)
    return None


def _centre(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (FACE_SIZE, FACE_SIZE), Image.Resampling.BICUBIC)
