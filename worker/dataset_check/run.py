"""The check of a dataset on one page: list -> read -> compare -> look at the faces -> keep the manifest."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app.finetune.dataset import Split
from app.finetune.dataset_check import ImageFacts, image_warnings
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_findings import MOST_KEPT, DatasetFindings, PartWarning, UnreadableImage
from app.finetune.dataset_folders import PART_FOLDERS
from app.finetune.dataset_listing import ListedPart, list_parts, listing_of
from app.finetune.errors import ChangedWhileRead, printable
from app.finetune.events import DatasetChecked, DatasetCheckStarted, Report, Stopped, Warned
from app.finetune.image_file import paths_of
from app.finetune.known_problems import found_copies
from app.finetune.leaks import find_copies
from app.finetune.manifest import DatasetManifest, ManifestFile, manifest_path, write_manifest
from app.finetune.subject_patterns import GUIDE, SubjectPattern
from worker.dataset_check.alignment import MOST_MEASURED, measure_alignment
from worker.dataset_check.files import DatasetCheckFiles
from worker.dataset_check.labels import judge
from worker.training.data.image_reader import ImageReader, Preparation, ReadImages
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import BICUBIC_WORK, FORWARD_WORK
from worker.training.runtime.device import choose_device, describe_device, device_warnings
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.phase_plan import ALIGNMENT_WORK, READ_WORK, Pace, plan_dataset_check
from worker.training.runtime.progress import Progress, at_work


@dataclass(frozen=True)
class _ReadPart:
    """A part with its images as they were read. `role` is its name in warnings."""

    folder: str
    role: str
    split: Split
    vlr: ReadImages
    hr: ReadImages

    @property
    def unreadable(self) -> Mapping[Path, str]:
        return {**self.vlr.unreadable, **self.hr.unreadable}

    @property
    def opened(self) -> Set[Path]:
        return {*self.vlr.paths, *self.hr.paths}


def check_dataset(
    config: DatasetCheckConfig, files: DatasetCheckFiles, report: Report, control: Control | None = None
) -> DatasetChecked | Stopped:
    """Read every image of the dataset once and report what that shows. Returns the last event, Stopped if `control` was
    stopped; a check begins anew then.

    Raises EdgefaceError: the problem of a folder of which no part can be used, ChangedWhileRead and
    DiskFull.
    """
    return report_outcome(partial(_check, config, files, report, control or Control()), report)


def _check(config: DatasetCheckConfig, files: DatasetCheckFiles, report: Report, control: Control) -> DatasetChecked:
    # List
    progress = Progress(report)
    progress.start("checking")
    control = at_work(control, progress)
    pattern = GUIDE if config.subject_pattern is None else SubjectPattern(config.subject_pattern)
    listed = list_parts(files.folder, pattern)
    splits = _splits(listed)
    paths = [path for split in splits.values() for path in paths_of(split.images)]
    device = choose_device(config.device, control.gpu)
    report(DatasetCheckStarted(len(paths), describe_device(device)))
    for warning in device_warnings(config.device):
        report(Warned(warning))
    hr_images = sum(len(split.hr_images) for split in splits.values())
    measured = min(hr_images, MOST_MEASURED)
    progress.plan(
        plan_dataset_check(len(paths), hr_images, measured, hr_images if files.edgeface else 0, Pace.of(device.type))
    )
    stats = _stats(paths)

    # Read
    def on_read(count: int) -> None:
        progress.advance(count * READ_WORK)

    reader = ImageReader(files.prepared_dir, config.num_workers, control, on_read=on_read)
    parts = []
    for folder, split in splits.items():
        role = next((role for role, part in PART_FOLDERS.items() if part == folder), "dataset")
        vlr = reader.read(paths_of(split.vlr_images), None, with_prints=True, only_opened=True)
        hr = reader.read(paths_of(split.hr_images), Preparation(), with_prints=True, with_looks=True, only_opened=True)
        parts.append(_ReadPart(folder, role, split, vlr, hr))

    # Compare
    prints = {path: made for part in parts for read in (part.vlr, part.hr) for path, made in read.prints.items()}
    copies = find_copies(
        splits, prints, threads=config.num_workers, look=reader.looks.read, on_images=control.refuse_if_stopped
    )
    reader.looks.clear()

    # Look at the faces
    warnings = [warning for part in parts for warning in _part_warnings(part)]
    found = _manifest_files(files.folder, parts, stats)
    digest = DatasetManifest(files=found).digest
    progress.start("preparing")

    def on_faces(count: int) -> None:
        control.refuse_if_stopped()
        progress.advance(count * BICUBIC_WORK)

    hr_faces = [
        (part.split.hr_images, reader.faces(part.hr, on_faces))
        for part in parts
        if part.hr.paths and not part.hr.unreadable
    ]
    progress.start("judging")
    looks = measured * ALIGNMENT_WORK
    alignment, of_alignment = measure_alignment(
        [faces.pixels_u8 for _, faces in hr_faces], control, progress.shares(looks)
    )
    warnings += of_alignment
    labels, of_weights = judge(
        files, hr_faces, digest, pattern, device, control, lambda count: progress.advance(count * FORWARD_WORK)
    )
    warnings += of_weights
    warnings += [
        PartWarning(code=each.code, message=each.message) for judged in labels.values() for each in judged.warnings()
    ]

    # Keep the manifest
    again = list_parts(files.folder, pattern)
    if _splits(again) != splits or _stats(paths) != stats:
        raise ChangedWhileRead(files.folder)
    manifest = DatasetManifest(
        subject_pattern=pattern.text,
        alignment=alignment,
        files=found,
    )
    kept = files.keep_dir / f"{manifest.digest}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    control.before_write()
    write_manifest(kept, manifest)
    for warning in warnings:
        report(Warned(warning.plain()))
    progress.finish()
    unreadable = [image for part in parts for image in _unreadable(part, stats)]
    folders = {part.folder: part.split.directory for part in parts}
    findings = DatasetFindings(
        by="check",
        images=len(paths),
        warnings=warnings,
        unreadable=unreadable[:MOST_KEPT],
        copies=found_copies(copies, folders, stats),
        alignment=alignment,
        labels=labels,
    )
    return DatasetChecked(findings, manifest.digest, listing_of(again))


def _splits(listed: Mapping[str, ListedPart]) -> dict[str, Split]:
    """Return the parts that can be used. Raises the first problem where none can."""
    splits = {folder: part.split for folder, part in listed.items() if part.split is not None}
    if not splits:
        raise next(part.problem for part in listed.values() if part.problem is not None)
    return splits


def _stats(paths: list[Path]) -> dict[Path, tuple[int, int]]:
    """Return size and modification time of the files that are there."""
    stats = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # a link that leads nowhere: reading it names it
            continue
        stats[path] = stat.st_size, stat.st_mtime_ns
    return stats


def _manifest_files(folder: Path, parts: list[_ReadPart], stats: Mapping[Path, tuple[int, int]]) -> list[ManifestFile]:
    files = []
    for read in (read for part in parts for read in (part.vlr, part.hr)):
        for path, sha256 in zip(read.paths, read.sha256s, strict=True):
            made = read.prints.get(path)
            width, height = (None, None) if made is None else made.size
            size, time = stats[path]
            files.append(
                ManifestFile(
                    path=manifest_path(path, folder),
                    size=size,
                    mtime_ns=time,
                    sha256=sha256.hex(),
                    width=width,
                    height=height,
                )
            )
    return files


def _part_warnings(part: _ReadPart) -> list[PartWarning]:
    facts = {
        path: ImageFacts(made, read.problems.get(path))
        for read in (part.vlr, part.hr)
        for path, made in read.prints.items()
    }
    found = image_warnings(part.role, part.split, facts)
    return [PartWarning(part=part.folder, code=each.code, message=each.message) for each in found]


def _unreadable(part: _ReadPart, stats: Mapping[Path, tuple[int, int]]) -> Iterator[UnreadableImage]:
    opened = part.opened
    for path, reason in part.unreadable.items():
        size, time = stats[path] if path in opened else (None, None)
        shown = printable(path.relative_to(part.split.directory).as_posix())
        yield UnreadableImage(part=part.folder, path=shown, size=size, mtime_ns=time, reason=reason)
