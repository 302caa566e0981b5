"""Builds the guide's dataset layout from a folder of faces per subject."""

import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from PIL import Image, ImageOps

from app.dataset_build_errors import FEWEST_SUBJECTS, CannotFold, NamesCollide, OutputNotEmpty, TooFewToSplit
from app.finetune.atomic import atomic_folder
from app.finetune.config import FACE_SIZE
from app.finetune.dataset import PART_FOLDERS
from app.finetune.errors import FolderEmpty, FolderMissing, UnreadableImages
from app.finetune.images import IMAGE_SUFFIXES, read_rgb

SplitBy = Literal["subjects", "images"]
Part = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Face:
    subject: str
    source: Path
    file_name: str


@dataclass(frozen=True)
class BuiltPart:
    """Number of images and subjects of a split."""

    name: Part
    images: int
    subjects: int


@dataclass(frozen=True)
class BuiltDataset:
    """The dataset written to `output`: train, val and, if requested and possible, test."""

    output: Path
    parts: tuple[BuiltPart, ...]

    def part(self, name: Part) -> BuiltPart | None:
        return next((part for part in self.parts if part.name == name), None)

    def __str__(self) -> str:
        """`train 300 images of 30 subjects, val 100 images of 10 subjects`."""
        return ", ".join(f"{part.name} {part.images} images of {part.subjects} subjects" for part in self.parts)


class FaceSource(Protocol):
    """Source of HR faces other than the centre crop of the images, such as PhotoAligner."""

    def keep(self, folder: Path, sources: Sequence[Path]) -> Collection[Path]:
        """Return the images in `folder` that yield a face. The others are skipped."""

    def face(self, source: Path) -> Image.Image:
        """Return the RGB face, 112x112, of an image that `keep` returned. Raises UnreadableImages."""

    def describe(self, dataset: Path) -> None:
        """Write a description of the faces into the folder of the finished dataset, or of its folds."""


def build_dataset(
    faces: Path,
    output: Path,
    *,
    face_source: FaceSource | None = None,
    vlr_size: int = 16,
    split: SplitBy = "subjects",
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    seed: int = 42,
) -> BuiltDataset:
    """Write `output/{train,val,test}_processed/{vlr_images,hr_images}` from `faces/SUBJECT/IMAGE`.

    HR images are the centre square at 112x112, or the faces of `face_source`, which may skip images. VLR images are HR
    images reduced to `vlr_size` (4 to 111 px). Both use Pillow's antialiased bicubic filter. `split` by "subjects" puts
    each person into one split, by "images" some images of each person into each. There is no test split if
    `test_fraction` is 0 or the subjects (or the images of each) are too few. The folder appears once it is complete.
    Names and splits depend only on the names in `faces` and on `seed`.

    Raises FolderMissing, FolderEmpty, UnreadableImages, NamesCollide, OutputNotEmpty or TooFewToSplit.
    """
    if output.exists():
        raise OutputNotEmpty(output)
    found = _find_faces(faces, face_source)
    parts = _split(found, split, val_fraction, test_fraction, random.Random(seed), faces)
    with _complete(output, face_source) as partial:
        return _write_dataset(parts, partial, output, vlr_size, face_source)


def build_folds(
    faces: Path,
    output: Path,
    *,
    folds: int,
    face_source: FaceSource | None = None,
    vlr_size: int = 16,
    val_fraction: float = 0.2,
    seed: int = 42,
) -> list[BuiltDataset]:
    """Write the datasets `output/fold-1`, `output/fold-2`, ... for a cross-validation over people: each person is in
    the test split of one of them, and val is drawn from the others. All appear at once. Otherwise like `build_dataset`.

    Raises the exceptions of `build_dataset`, and CannotFold.
    """
    if output.exists():
        raise OutputNotEmpty(output)
    found = _find_faces(faces, face_source)
    splits = split_folds({face.subject for face in found}, folds, val_fraction, random.Random(seed))
    if splits is None:
        raise CannotFold(faces, len({face.subject for face in found}), folds)
    with _complete(output, face_source) as partial:
        built = []
        for number, part_of in enumerate(splits, start=1):
            parts = _by_part(found, lambda face, part_of=part_of: part_of[face.subject])  # type: ignore[misc]
            fold = f"fold-{number}"
            built.append(_write_dataset(parts, partial / fold, output / fold, vlr_size, face_source))
        return built


def split_subjects(
    subjects: Iterable[str], val_fraction: float, test_fraction: float, chance: random.Random
) -> dict[str, Part] | None:
    """Return the split of each subject, at least two per split. No test below six subjects; None below four."""
    names = sorted(subjects)
    if len(names) < 2 * FEWEST_SUBJECTS:
        return None
    chance.shuffle(names)
    in_test = 0
    if test_fraction and len(names) >= 3 * FEWEST_SUBJECTS:
        in_test = min(max(FEWEST_SUBJECTS, round(len(names) * test_fraction)), len(names) - 2 * FEWEST_SUBJECTS)
    in_val = min(max(FEWEST_SUBJECTS, round(len(names) * val_fraction)), len(names) - in_test - FEWEST_SUBJECTS)
    return {name: _part_at(place, in_val, in_test) for place, name in enumerate(names)}


def split_folds(
    subjects: Iterable[str], folds: int, val_fraction: float, chance: random.Random
) -> list[dict[str, Part]] | None:
    """Return the split of each subject for each fold: test rotates, and val follows it. None if a split would have
    fewer than two subjects."""
    names = sorted(subjects)
    chance.shuffle(names)
    splits: list[dict[str, Part]] = []
    for fold in range(folds):
        first, last = fold * len(names) // folds, (fold + 1) * len(names) // folds
        rest = [*names[last:], *names[:first]]
        in_val = min(max(FEWEST_SUBJECTS, round(len(names) * val_fraction)), len(rest) - FEWEST_SUBJECTS)
        if last - first < FEWEST_SUBJECTS or in_val < FEWEST_SUBJECTS:
            return None
        splits.append({name: _part_at(place, in_val, 0) for place, name in enumerate(rest)})
        splits[-1].update(dict.fromkeys(names[first:last], "test"))
    return splits


def _part_at(place: int, in_val: int, in_test: int) -> Part:
    if place < in_val:
        return "val"
    return "test" if place < in_val + in_test else "train"


@contextmanager
def _complete(output: Path, face_source: FaceSource | None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `output`, with the description of `face_source`, when the block ends."""
    with atomic_folder(output) as partial:
        yield partial
        if face_source is not None:
            face_source.describe(partial)


def _write_dataset(
    parts: dict[Part, list[Face]], folder: Path, output: Path, vlr_size: int, face_source: FaceSource | None
) -> BuiltDataset:
    """Write a dataset into `folder`, which becomes `output`."""
    for name, part in parts.items():
        _write_part(part, folder / PART_FOLDERS[name], vlr_size, face_source)
    built = [BuiltPart(name, len(part), len({face.subject for face in part})) for name, part in parts.items()]
    return BuiltDataset(output, tuple(built))


def _find_faces(folder: Path, face_source: FaceSource | None) -> list[Face]:
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
    kept = set(sources if face_source is None else face_source.keep(folder, sources))
    return [Face(_subject(source), source, name) for name, (source,) in found.items() if source in kept]


def _subject(source: Path) -> str:
    """Return the folder's name without `_`, which ends the subject in a file name."""
    return re.sub(r"[_\s]+", "-", source.parent.name)


def _file_name(source: Path) -> str:
    stem = re.sub(r"\s+", "-", source.stem)
    return f"{_subject(source)}_{stem}.png"


def _split(
    found: list[Face], split: SplitBy, val_fraction: float, test_fraction: float, chance: random.Random, folder: Path
) -> dict[Part, list[Face]]:
    by_subject: dict[str, list[Face]] = {}
    for face in found:
        by_subject.setdefault(face.subject, []).append(face)
    if split == "subjects":
        part_of = split_subjects(by_subject, val_fraction, test_fraction, chance)
        if part_of is None:
            raise TooFewToSplit(folder, "subjects")
        return _by_part(found, lambda face: part_of[face.subject])
    part_of_file: dict[str, Part] = {}
    for faces in by_subject.values():
        part_of_file |= _split_images(faces, val_fraction, test_fraction, chance)
    if "val" not in part_of_file.values():
        raise TooFewToSplit(folder, "images per subject")
    return _by_part(found, lambda face: part_of_file[face.file_name])


def _split_images(
    faces: list[Face], val_fraction: float, test_fraction: float, chance: random.Random
) -> dict[str, Part]:
    """Split the images of each subject. One image goes to train; of two, none goes to test."""
    in_val = min(max(1, round(len(faces) * val_fraction)), len(faces) - 1)
    in_test = min(max(1, round(len(faces) * test_fraction)), len(faces) - in_val - 1) if test_fraction else 0
    drawn = chance.sample(faces, in_val + in_test)
    chosen = {face.file_name: _part_at(place, in_val, in_test) for place, face in enumerate(drawn)}
    return {face.file_name: chosen.get(face.file_name, "train") for face in faces}


def _by_part(found: list[Face], part_of: Callable[[Face], Part]) -> dict[Part, list[Face]]:
    """Return train, val and test in this order; test only if it has a face."""
    parts: dict[Part, list[Face]] = {"train": [], "val": [], "test": []}
    for face in found:
        parts[part_of(face)].append(face)
    return {name: part for name, part in parts.items() if part or name != "test"}


def _write_part(part: list[Face], directory: Path, vlr_size: int, face_source: FaceSource | None) -> None:
    for folder in ("vlr_images", "hr_images"):
        (directory / folder).mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda face: _write_face(face, directory, vlr_size, face_source), part)
        if reasons := dict(_named(part, results)):
            raise UnreadableImages(reasons)


def _named(part: list[Face], reasons: Iterator[str | None]) -> Iterator[tuple[Path, str]]:
    for face, reason in zip(part, reasons, strict=True):
        if reason is not None:
            yield face.source, reason


def _write_face(face: Face, directory: Path, vlr_size: int, face_source: FaceSource | None) -> str | None:
    """Write a face. Return the reason if its image cannot be read, else None."""
    try:
        hr = face_source.face(face.source) if face_source is not None else _centre(read_rgb(face.source))
    except UnreadableImages as error:
        return error.reasons[face.source]
    hr.save(directory / "hr_images" / face.file_name)
    vlr = hr.resize((vlr_size, vlr_size), Image.Resampling.BICUBIC)
    vlr.save(directory / "vlr_images" / face.file_name)
    return None


def _centre(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (FACE_SIZE, FACE_SIZE), Image.Resampling.BICUBIC)
