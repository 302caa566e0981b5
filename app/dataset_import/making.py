"""Makes a dataset of an archive. Runs in a limited process."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from app.archives import ArchiveLimits, unpack
from app.archives.errors import ArchiveNamesCollide
from app.dataset_build import Listener, Rules, build_dataset
from app.dataset_build.faces import FaceSource
from app.dataset_import.task import ImportRequest, ImportResult
from app.finetune.dataset import HR_FOLDER, PART_FOLDERS, VLR_FOLDER
from app.finetune.errors import DataError, UnreadableImages
from app.finetune.images import IMAGE_SUFFIXES, read_rgb
from app.finetune.job_warning import JobWarning
from app.finetune.manifest import MANIFEST_NAME, read_manifest
from app.finetune.plain_image import write_plain_png
from app.finetune.subject_patterns import GUIDE, SubjectPattern
from app.isolated.task import Progress

_STEPS = 1000
"""Of the progress; unpacking takes the first third."""
_UNPACKED = 300


def make_dataset(request: ImportRequest, progress: Progress) -> ImportResult:
    """Unpack the archive and make `folder/dataset` of it: of a dataset with its images as plain PNG files, of photos
    by `build_dataset`. Raises DataError, whose messages name files as the archive does."""
    os.umask(0o077)  # of this process, which makes nothing else
    unpacked, dataset = request.folder / "unpacked", request.folder / "dataset"
    unpacked.mkdir()
    with request.path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    found = unpack(
        request.path,
        unpacked,
        ArchiveLimits(bytes=request.most_bytes),
        wanted=lambda name: name == MANIFEST_NAME or Path(name).suffix.lower() in IMAGE_SUFFIXES,
        progress=lambda part: progress(int(part * _UNPACKED), _STEPS),
    )
    root = _root_of(unpacked)
    try:
        if _is_dataset(root):
            pattern, warnings = _pattern_of(root, request), list[JobWarning]()
            images = _write_plain(root, dataset, progress)
        else:
            pattern, images, warnings = _build(root, dataset, request, progress)
    except DataError as error:
        error.message = _as_in_archive(error.message, root, request)
        error.args = (error.message,)
        raise
    shutil.rmtree(unpacked)
    return ImportResult(
        subject_pattern=pattern.text,
        built=(dataset / MANIFEST_NAME).is_file(),
        images=images,
        bytes=sum(path.stat().st_size for path in _files(dataset)),
        left_out=found.left_out,
        sha256=sha256,
        warnings=[JobWarning(code=each.code, message=_as_in_archive(each.message, root, request)) for each in warnings],
    )


def _root_of(unpacked: Path) -> Path:
    """Return the folder of people, or of the parts: an archive often has one folder around them."""
    root = unpacked
    while not _is_dataset(root):
        inside = list(root.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or not any(each.is_dir() for each in inside[0].iterdir()):
            break
        root = inside[0]
    return root


def _is_dataset(folder: Path) -> bool:
    parts = [folder, *(folder / name for name in PART_FOLDERS.values())]
    return any((part / VLR_FOLDER).is_dir() and (part / HR_FOLDER).is_dir() for part in parts)


def _pattern_of(root: Path, request: ImportRequest) -> SubjectPattern:
    if request.options.subject_pattern is not None:
        return SubjectPattern(request.options.subject_pattern)
    manifest = read_manifest(root / MANIFEST_NAME)
    return GUIDE if manifest is None else SubjectPattern(manifest.subject_pattern)


def _write_plain(root: Path, dataset: Path, progress: Progress) -> int:
    """Write every image anew: its pixels as this service reads them, and nothing else of the file."""
    images = [path for path in _files(root) if path.name != MANIFEST_NAME]
    unreadable: dict[Path, str] = {}
    for number, path in enumerate(images, start=1):
        target = (dataset / path.relative_to(root)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            raise ArchiveNamesCollide(path.name, f"{path.stem}.*")
        try:
            write_plain_png(read_rgb(path), target)
        except UnreadableImages as error:
            unreadable |= error.reasons
        progress(_UNPACKED + (_STEPS - _UNPACKED) * number // len(images), _STEPS)
    if unreadable:
        raise UnreadableImages(unreadable)
    return len(images)


def _build(
    root: Path, dataset: Path, request: ImportRequest, progress: Progress
) -> tuple[SubjectPattern, int, list[JobWarning]]:
    options = request.options
    pattern = SubjectPattern(options.subject_pattern or "folder")
    built = build_dataset(
        root,
        dataset,
        face_source=_face_source(root, options.align),
        vlr_size=options.vlr_size,
        split=options.split,
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
        rules=Rules(pattern=pattern, allowed_leaks=tuple(options.allowed_leaks)),
        listener=Listener(
            progress=lambda done, total: progress(_UNPACKED + (_STEPS - _UNPACKED) * done // max(1, total), _STEPS)
        ),
        source=request.archive_name,
    )
    return GUIDE, sum(part.images for part in built.parts), list(built.warnings)


def _face_source(photos: Path, align: bool) -> FaceSource | None:
    """Raises AlignExtraMissing."""
    if not align:
        return None
    from app.alignment.photos import PhotoAligner  # imports LiteRT

    return PhotoAligner(photos)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(where, name) for name in sorted(names))


def _as_in_archive(message: str, root: Path, request: ImportRequest) -> str:
    message = message.replace(f"{root}/", "").replace(f"{request.folder / 'dataset'}/", "")
    for folder in (root, request.folder / "dataset", request.folder / "unpacked"):
        message = message.replace(str(folder), request.archive_name)
    return message
