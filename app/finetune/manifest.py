"""The manifest of a dataset: `dataset.json` in its folder lists each image with its size and digest.

`dataset build` writes it. The service writes the same form for a dataset that it has checked. A manifest says what the
images were at that time: the ones that changed since are found by `DatasetManifest.stale` and by their digests.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from app.finetune.alignment_distance import AlignmentDistance as AlignmentDistance
from app.finetune.atomic import atomic_file
from app.finetune.dataset_errors import ManifestUnreadable, SubjectPatternInvalid
from app.finetune.dataset_folders import dataset_of
from app.finetune.errors import printable
from app.finetune.interruption import until_interrupted
from app.finetune.job_warning import JobWarning
from app.finetune.subject_patterns import GUIDE, GUIDE_NAME, SubjectPattern
from app.finetune.user_files import OUTSIDE_REASON, FileRefused, leads_outside, read_file

MANIFEST_NAME = "dataset.json"
FORMAT_VERSION = 1

MOST_BYTES = 2**28
"""The largest file that is read: it holds a million images."""


class ManifestFile(BaseModel):
    """One image: its path from `manifest_path`, its size in bytes and the sha256 of the file."""

    path: str
    size: int
    sha256: str
    width: int | None = Field(None, description="Pixels, as decoded.")
    height: int | None = None
    mtime_ns: int | None = Field(None, description="Its modification time when it was read; null: not kept.")
    source: str | None = Field(None, description="The photo it was built from, relative to the folder of photos.")


class SkippedFile(BaseModel):
    """A file below the folder of photos that was not built. A path that ends in `/` is a folder of `files` files."""

    path: str
    reason: str
    detail: str = ""
    files: int = 1


class BuildOptions(BaseModel):
    """How `dataset build` made the dataset."""

    source: str = Field(description="The folder of photos.")
    vlr_size: int = Field(description="Side of the VLR images in pixels.")
    split: str = Field(description="`subjects`, `images`, or `fold N of K`.")
    seed: int
    version: str = Field(description="Version of edgeface-finetune.")
    aligned: bool = Field(False, description="Whether the faces were found and aligned.")
    subject_pattern: str = Field("folder", description="Pattern that found the subject in the path of each photo.")
    min_size: int = Field(0, description="Faces of fewer pixels were skipped.")


class DatasetManifest(BaseModel):
    """Fields of a later version are ignored."""

    format_version: int = FORMAT_VERSION
    subject_pattern: str = GUIDE_NAME
    built: BuildOptions | None = Field(None, description="null: `dataset build` did not make it.")
    alignment: AlignmentDistance | None = Field(None, description="null: not measured.")
    problems: list[JobWarning] = Field(default_factory=list, description="What the checks of the build found.")
    skipped: list[SkippedFile] = Field(default_factory=list, description="Files that the build left out.")
    files: list[ManifestFile]

    @property
    def digest(self) -> str:
        """sha256 of the paths and digests of all files: equal for equal images, whatever their times are."""
        lines = sorted(f"{file.path}\0{file.sha256}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def of_part(self, folder_name: str) -> dict[str, str]:
        """Return the sha256 of each file of a part by its path relative to the part's folder. `.`: of all files."""
        start = "" if folder_name == "." else f"{folder_name}/"
        return {file.path[len(start) :]: file.sha256 for file in self.files if file.path.startswith(start)}

    def stale(self, folder: Path, images: Iterable[Path]) -> list[str]:
        """Return the paths of images that were added, removed or written since the manifest in `folder`.

        An image counts as written if its size differs, or its time from `mtime_ns`, or where that is null if it is
        newer than the manifest file. Opens no file. Raises OSError where the manifest file is gone.
        """
        written_at = (folder / MANIFEST_NAME).stat().st_mtime_ns if any(f.mtime_ns is None for f in self.files) else 0
        known = {file.path: file for file in self.files}
        found = {manifest_path(image, folder): image for image in images}
        changed = known.keys() ^ found.keys()
        both = until_interrupted(known.keys() & found.keys())
        changed |= {path for path in both if _is_written(known[path], found[path], written_at)}
        return sorted(changed)


def manifest_path(image: Path, folder: Path) -> str:
    """Return the path of an image in the manifest of `folder`: relative, with `/`, bytes that are not UTF-8 escaped."""
    return printable(image.relative_to(folder).as_posix())


def write_manifest(path: Path, manifest: DatasetManifest) -> None:
    """Write the file `path` atomically. Raises OSError."""
    with atomic_file(path) as file:
        file.write(manifest_bytes(manifest))


def manifest_bytes(manifest: DatasetManifest) -> bytes:
    """Return the content of the manifest's file."""
    content = manifest.model_dump(mode="json", exclude_none=True)
    files = content.pop("files")
    # One line for each image, so that a person can read the file and compare two of them.
    lines = ",\n".join(f"    {json.dumps(file)}" for file in files)
    head = json.dumps(content, indent=2).removesuffix("\n}")
    return f'{head},\n  "files": [\n{lines}\n  ]\n}}\n'.encode()


def read_manifest(path: Path, roots: Sequence[Path] | None = None) -> DatasetManifest | None:
    """Return the manifest in the file `path`. None where there is none, or none that this version can read.

    `roots` are the folders that a link may lead to, None any. Raises ManifestUnreadable where the file cannot be
    opened.
    """
    try:
        if roots is not None and leads_outside(path, roots):
            raise FileRefused(path, OUTSIDE_REASON)
        manifest = DatasetManifest.model_validate_json(read_file(path, MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    except OSError as error:
        raise ManifestUnreadable(path, error) from None
    return manifest if manifest.format_version <= FORMAT_VERSION else None


def built_pattern(directory: Path) -> SubjectPattern:
    """Return the subject pattern that the manifest of a part's dataset names, the guide's without a manifest."""
    manifest = read_manifest(dataset_of(directory)[0] / MANIFEST_NAME)
    try:
        return GUIDE if manifest is None else SubjectPattern(manifest.subject_pattern)
    except SubjectPatternInvalid:  # a name that a later version has
        return GUIDE


def differing(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Return the paths whose sha256 is not the expected one, or that `expected` does not have. Both are by path."""
    return sorted(path for path, sha256 in found.items() if expected.get(path) != sha256)


def _is_written(known: ManifestFile, image: Path, written_at: int) -> bool:
    try:
        stat = image.stat()
    except OSError:
        return True
    if known.mtime_ns is not None:
        return (stat.st_size, stat.st_mtime_ns) != (known.size, known.mtime_ns)
    return stat.st_size != known.size or stat.st_mtime_ns > written_at
