"""Puts made faces into the parts of a dataset, checks it as `dataset check` does, and writes its manifest."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from app.dataset_build.faces import MadeFace, WrittenImage
from app.dataset_build.skipped import Skipped
from app.dataset_build.splits import Part
from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.counted import counted
from app.finetune.dataset import HR_FOLDER, PART_FOLDERS, VLR_FOLDER
from app.finetune.dataset_check import DatasetCheck, ImageFacts, judge, scan_parts
from app.finetune.errors import PhotoCopied, printable
from app.finetune.job_warning import JobWarning
from app.finetune.leaks import AllowedLeaks, Copy
from app.finetune.manifest import (
    MANIFEST_NAME,
    BuildOptions,
    DatasetManifest,
    ManifestFile,
    SkippedFile,
    manifest_bytes,
)

Parts = Mapping[Part, Sequence[MadeFace]]


@dataclass(frozen=True)
class BuiltPart:
    """Number of images and subjects of a split."""

    name: Part
    images: int
    subjects: int


@dataclass(frozen=True)
class BuiltDataset:
    """The dataset written to `output`: train, val and, if requested and possible, test; what was skipped, what a
    person should know, and the leaks that `allowed_leaks` names."""

    output: Path
    parts: tuple[BuiltPart, ...]
    warnings: tuple[JobWarning, ...]
    skipped: tuple[Skipped, ...]
    allowed: tuple[Copy, ...]

    def part(self, name: Part) -> BuiltPart | None:
        return next((part for part in self.parts if part.name == name), None)

    def __str__(self) -> str:
        """`train 300 images of 30 subjects, val 100 images of 10 subjects`."""
        return ", ".join(
            f"{part.name} {counted(part.images, 'image')} of {counted(part.subjects, 'subject')}" for part in self.parts
        )


def write_parts(parts: Parts, made_in: Path, folder: Path, *, move: bool) -> None:
    """Move, or copy, the images of the faces from `made_in/{hr,vlr}_images` into the parts of the dataset `folder`."""
    for name, faces in parts.items():
        for kind in (HR_FOLDER, VLR_FOLDER):
            target = folder / PART_FOLDERS[name] / kind
            target.mkdir(parents=True)
            for face in faces:
                source = made_in / kind / face.photo.file_name
                if move:
                    source.rename(target / source.name)
                else:
                    shutil.copyfile(source, target / source.name)


def check_built(parts: Parts, folder: Path, allowed: AllowedLeaks) -> DatasetCheck:
    """Check the dataset in `folder` without reading its images again.

    Raises PhotoCopied with the photos' paths, and the exceptions of `scan_dataset`.
    """
    scan, splits = scan_parts(folder)
    facts: dict[Path, ImageFacts] = {}
    photos: dict[Path, Path] = {}
    for name, kind, face, image in _images(parts):
        path = folder / PART_FOLDERS[name] / kind / face.photo.file_name
        facts[path], photos[path] = image.facts, face.photo.path
    check = judge(scan, splits, facts, {}, allowed)
    if check.leaks:
        raise PhotoCopied([_WithPhotos(copy, photos) for copy in check.leaks])
    return check


def describe_parts(parts: Parts) -> tuple[BuiltPart, ...]:
    """Count the images and subjects of each part."""
    return tuple(
        BuiltPart(name, len(faces), len({face.photo.label for face in faces})) for name, faces in parts.items()
    )


def write_build_manifest(
    parts: Parts,
    folder: Path,
    faces: Path,
    options: BuildOptions,
    skipped: Sequence[Skipped],
    warnings: Sequence[JobWarning],
    alignment: AlignmentDistance | None,
) -> None:
    """Write the manifest of the dataset in `folder`, which was built from the photos below `faces`."""
    files = [
        ManifestFile(
            path=f"{PART_FOLDERS[name]}/{kind}/{face.photo.file_name}",
            size=image.size,
            sha256=image.sha256,
            width=image.facts.print.size[0],
            height=image.facts.print.size[1],
            source=printable(face.photo.path.relative_to(faces).as_posix()),
        )
        for name, kind, face, image in _images(parts)
    ]
    manifest = DatasetManifest(
        built=options,
        alignment=alignment,
        problems=list(warnings),
        skipped=[
            SkippedFile(path=each.path, reason=each.reason, detail=each.detail, files=each.files) for each in skipped
        ],
        files=sorted(files, key=lambda file: file.path),
    )
    (folder / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))


def build_options(source: str, **options: object) -> BuildOptions:
    """Return the options with the version of this program and the name of the photos' folder."""
    given = {"source": source, "version": version("edgeface-finetune"), **options}
    return BuildOptions.model_validate(given)


@dataclass(frozen=True)
class _WithPhotos:
    copy: Copy
    photos: Mapping[Path, Path]

    def __str__(self) -> str:
        first, second = (self.photos[end.path] for end in (self.copy.first, self.copy.second))
        return f"{self.copy}, built from {first} and {second}"


def _images(parts: Parts) -> list[tuple[Part, str, MadeFace, WrittenImage]]:
    return [
        (name, kind, face, image)
        for name, faces in parts.items()
        for face in faces
        for kind, image in ((HR_FOLDER, face.hr), (VLR_FOLDER, face.vlr))
    ]
