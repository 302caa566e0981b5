"""Builds the guide's dataset layout from a folder of photos of people."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.alignment.errors import NothingAligned
from app.dataset_build.errors import (
    FEWEST_SUBJECTS,
    CannotFold,
    ImagesSkipped,
    NoPhotos,
    OutputInsideFaces,
    OutputNotEmpty,
    SubjectsLost,
    TooFewToSplit,
)
from app.dataset_build.faces import CentreSquare, FaceMaker, FaceSource, MadeFace
from app.dataset_build.layout import nested_warnings, patterns_with_more
from app.dataset_build.names import Photo
from app.dataset_build.photos import FoundPhotos, find_photos
from app.dataset_build.rules import Listener, Rules
from app.dataset_build.skipped import Skipped, count_reasons
from app.dataset_build.splits import Part, by_part, split_folds, split_images, split_subjects
from app.dataset_build.warnings import photo_warnings
from app.dataset_build.writing import (
    BuiltDataset,
    Parts,
    build_options,
    check_built,
    describe_parts,
    write_build_manifest,
    write_parts,
)
from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.atomic import atomic_folder
from app.finetune.counted import counted
from app.finetune.dataset_check import DatasetCheck
from app.finetune.errors import DataError, name_some, printable
from app.finetune.leaks import ALLOW_ALL, AllowedLeaks
from app.finetune.subject_patterns import GUIDE

SplitBy = Literal["subjects", "images"]

SplitPhotos = Callable[[Sequence[Photo]], dict[str, dict[Part, list[Photo]]]]
"""Returns the parts of each dataset by the dataset's folder in `output`."""

_MADE = ".faces"

_RULES = Rules()
_NOBODY = Listener()


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
    rules: Rules = _RULES,
    listener: Listener = _NOBODY,
    source: str | None = None,
) -> BuiltDataset:
    """Write `output/{train,val,test}_processed/{vlr_images,hr_images}` from the photos below `faces`.

    HR images are the centre square at 112x112, or the faces of `face_source`. VLR images are HR images reduced to
    `vlr_size` (4 to 111 px). Photos that cannot be read, or yield no face, are skipped as `rules` allow. `split` by
    "subjects" puts each person into one split, by "images" some images of each person into each. There is no test split
    if `test_fraction` is 0 or the subjects (or the images of each) are too few. The folder appears once it is complete,
    and only if `dataset check` accepts it. Names and splits depend only on the names in `faces` and on `seed`.
    The manifest calls `faces` by `source`, by default the absolute path.

    Raises OutputNotEmpty, OutputInsideFaces, the exceptions of `find_photos`, ImagesSkipped, SubjectsLost, NoPhotos or
    those of the `face_source`, TooFewToSplit, and what a job refuses: PhotoCopied, NothingToSelectBy.
    """

    def split_photos(photos: Sequence[Photo]) -> dict[str, dict[Part, list[Photo]]]:
        chance = random.Random(seed)
        others = patterns_with_more(photos, rules.pattern)
        if split == "images":
            part_of_photo = split_images(photos, val_fraction, test_fraction, chance)
            if len({photo.label for photo in photos}) < FEWEST_SUBJECTS or "val" not in part_of_photo.values():
                raise TooFewToSplit(faces, _people(photos), "two people, and two photos of one of them", others)
            return {"": by_part(photos, part_of_photo.__getitem__)}
        part_of = split_subjects({photo.label for photo in photos}, val_fraction, test_fraction, chance)
        if part_of is None:
            raise TooFewToSplit(faces, _people(photos), "two people each, or with --split images two together", others)
        return {"": by_part(photos, lambda photo: part_of[photo.label])}

    build = _Build(faces, output, face_source or CentreSquare(), vlr_size, seed, rules, listener, source)
    return build.run(split_photos, {"": split})[""]


def build_folds(
    faces: Path,
    output: Path,
    *,
    folds: int,
    face_source: FaceSource | None = None,
    vlr_size: int = 16,
    val_fraction: float = 0.2,
    seed: int = 42,
    rules: Rules = _RULES,
    listener: Listener = _NOBODY,
) -> list[BuiltDataset]:
    """Write the datasets `output/fold-1`, `output/fold-2`, ... for a cross-validation over people: each person is in
    the test split of one of them, and val is drawn from the others. All appear at once. Otherwise like `build_dataset`.

    Raises the exceptions of `build_dataset`, and CannotFold.
    """

    def split_photos(photos: Sequence[Photo]) -> dict[str, dict[Part, list[Photo]]]:
        people = {photo.label for photo in photos}
        splits = split_folds(people, folds, val_fraction, random.Random(seed))
        if splits is None:
            raise CannotFold(faces, len(people), folds)
        return {
            f"fold-{number}": by_part(photos, lambda photo, part_of=part_of: part_of[photo.label])  # type: ignore[misc]
            for number, part_of in enumerate(splits, start=1)
        }

    names = {f"fold-{number}": f"fold {number} of {folds}" for number in range(1, folds + 1)}
    build = _Build(faces, output, face_source or CentreSquare(), vlr_size, seed, rules, listener)
    return list(build.run(split_photos, names).values())


@dataclass(frozen=True)
class _Build:
    faces: Path
    output: Path
    face_source: FaceSource
    vlr_size: int
    seed: int
    rules: Rules
    listener: Listener
    source: str | None = None

    def run(self, split_photos: SplitPhotos, splits: Mapping[str, str]) -> dict[str, BuiltDataset]:
        """Build the datasets that `split_photos` returns, by their folder in `output`; `splits` describe them."""
        if self.output.exists():
            raise OutputNotEmpty(self.output)
        if self.output.resolve().is_relative_to(self.faces.resolve()):
            raise OutputInsideFaces(self.output, self.faces)
        found = find_photos(self.faces, self.rules.pattern)
        with atomic_folder(self.output) as partial, _named(partial, self.output):
            made_in = partial / _MADE
            maker = FaceMaker(self.faces, made_in, self.face_source, self.vlr_size, self.rules.min_size)
            made, left_out = maker.make_all(found.photos, self.listener.progress)
            skipped = tuple(sorted((*found.skipped, *left_out), key=lambda each: each.path))
            self.listener.skipped(skipped)
            self._refuse_losses(found, made, skipped)
            by_photo = {face.photo: face for face in made}
            datasets = {
                name: {part: [by_photo[photo] for photo in photos] for part, photos in parts.items()}
                for name, parts in split_photos(list(by_photo)).items()
            }
            checks = self._write(datasets, made_in, partial)
            shutil.rmtree(made_in)
            hr_images = sorted(next(iter(checks.values())).hr_images)
            self.face_source.describe(partial)
            return self._describe(datasets, checks, splits, skipped, self.listener.measure(hr_images), partial)

    def _write(self, datasets: Mapping[str, Parts], made_in: Path, partial: Path) -> dict[str, DatasetCheck]:
        checks: dict[str, DatasetCheck] = {}
        for name, parts in datasets.items():
            write_parts(parts, made_in, partial / name, move=len(datasets) == 1)
            # Every fold has the same photos, and copies under one name are no leak in any.
            allowed = [ALLOW_ALL] if checks else self.rules.allowed_leaks
            checks[name] = check_built(parts, partial / name, AllowedLeaks(allowed))
        return checks

    def _describe(
        self,
        datasets: Mapping[str, Parts],
        checks: Mapping[str, DatasetCheck],
        splits: Mapping[str, str],
        skipped: tuple[Skipped, ...],
        alignment: AlignmentDistance | None,
        partial: Path,
    ) -> dict[str, BuiltDataset]:
        """Write the manifests and return what was built."""
        built = {}
        cropped = isinstance(self.face_source, CentreSquare)
        for name, parts in datasets.items():
            made = [face for faces in parts.values() for face in faces]
            nested = nested_warnings([face.photo for face in made], self.rules.pattern)
            warnings = (*nested, *photo_warnings(made, cropped=cropped), *checks[name].image_warnings)
            options = build_options(
                self.source or printable(self.faces.resolve()),
                vlr_size=self.vlr_size,
                split=splits[name],
                seed=self.seed,
                aligned=not cropped,
                subject_pattern=self.rules.pattern.text,
                min_size=self.rules.min_size,
            )
            write_build_manifest(parts, partial / name, self.faces, options, skipped, warnings, alignment)
            # Only the guide's rule takes people of one first name for one person.
            clear = self.rules.pattern != GUIDE
            of_names = [each for each in checks[name].name_warnings if not (clear and each.code == "subject_groups")]
            built[name] = BuiltDataset(
                self.output / name, describe_parts(parts), (*of_names, *warnings), skipped, checks[name].allowed
            )
        return built

    def _refuse_losses(self, found: FoundPhotos, made: Sequence[MadeFace], skipped: Sequence[Skipped]) -> None:
        if not made:
            reasons = Counter(each.reason for each in skipped)
            if reasons["no_face"] or reasons["several_faces"]:
                raise NothingAligned(self.faces, reasons["no_face"], reasons["several_faces"])
            raise NoPhotos(self.faces, count_reasons(skipped))
        missing = [each for each in skipped if each.is_image and each.reason != "too_small"]
        if self.rules.strict and missing:
            raise ImagesSkipped(self.faces, missing)
        lost = sorted(found.subjects - {face.photo.subject for face in made})
        if lost and not self.rules.allow_lost_subjects:
            why = [f"{name} ({count_reasons([each for each in skipped if each.subject == name])})" for name in lost]
            raise SubjectsLost(self.faces, why, len(found.subjects))


@contextmanager
def _named(partial: Path, output: Path) -> Iterator[None]:
    """Let errors about files in the partial folder name the folder that was asked for."""
    try:
        yield
    except DataError as error:
        error.message = error.message.replace(str(partial), str(output))
        error.args = (error.message,)
        raise


def _people(photos: Sequence[Photo]) -> str:
    """Return the number of subjects and photos, as in `2 subjects (anna, ben) with 7 photos`."""
    names = sorted({photo.subject for photo in photos})
    return f"{counted(len(names), 'subject')} ({name_some(names)}) with {counted(len(photos), 'photo')}"
