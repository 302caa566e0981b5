"""The import of a dataset: a limited process unpacks and builds, this one publishes."""

import errno
import os
import shutil
from pathlib import Path

from app.dataset_import.task import IMPORT, ImportRequest, ImportResult
from app.finetune.dataset_errors import DatasetNameTaken
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.dataset_listing import list_parts, listing_of
from app.finetune.events import DatasetImported, DatasetImportStarted, PhaseStarted, Progressed, Report, Stopped, Warned
from app.finetune.phases import Phase
from app.finetune.subject_patterns import SubjectPattern
from app.isolated.errors import ReadCancelled
from app.isolated.run import run
from worker.dataset_import.files import DatasetImportFiles
from worker.training.runtime.control import Control

_RESULT = ".import.json"
"""In the published folder, and hidden: which job made it, and of what. A job that is repeated finds its own work."""


def import_dataset(
    config: DatasetImportConfig, files: DatasetImportFiles, report: Report, control: Control | None = None
) -> DatasetImported | Stopped:
    """Make the dataset and report what it is. Returns the last event, Stopped if `control` was stopped: nothing is left
    then, as after an error.

    Raises ArchiveError, the errors of `build_dataset`, UnreadableImages, DatasetNameTaken, and those of
    `app.isolated.run`.
    """
    control = control or Control()
    report(PhaseStarted("unpacking"))
    report(DatasetImportStarted(files.archive.stat().st_size))
    last: DatasetImported | Stopped
    try:
        last = _import(config, files, report, control)
    except ReadCancelled:
        last = Stopped()
    report(last)
    return last


def _import(
    config: DatasetImportConfig, files: DatasetImportFiles, report: Report, control: Control
) -> DatasetImported:
    result = _published(files)
    if result is None:
        folder = files.quarantine / f"{files.job}-{files.output_dir.name.rpartition('-')[2]}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        try:
            result = _make(config, files, folder, report, control)
            _publish(files, folder / "dataset", result, control)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    for warning in result.warnings:
        report(Warned(warning))
    return DatasetImported(
        name=config.name,
        subject_pattern=result.subject_pattern,
        listing=listing_of(list_parts(files.target, SubjectPattern(result.subject_pattern))),
        images=result.images,
        bytes=result.bytes,
        left_out=result.left_out,
        sha256=result.sha256,
    )


def _make(
    config: DatasetImportConfig, files: DatasetImportFiles, folder: Path, report: Report, control: Control
) -> ImportResult:
    def on_progress(done: int, total: int) -> None:
        phase: Phase = "unpacking" if done < total * 0.3 else "building"
        part = done / total
        report(Progressed(part, None, None, None, phase=phase, phase_progress=part))

    def is_cancelled() -> bool:
        control.at_work()
        return control.stop.is_set()

    request = ImportRequest(
        path=files.archive,
        folder=folder,
        archive_name=files.archive_name,
        options=config.options,
        most_bytes=files.most_bytes,
    )
    return run(IMPORT, request, on_progress=on_progress, cancelled=is_cancelled)


def _publish(files: DatasetImportFiles, dataset: Path, result: ImportResult, control: Control) -> None:
    """Let the dataset appear, whole. Raises DatasetNameTaken."""
    (dataset / _RESULT).write_text(f"{files.job}\n{result.model_dump_json()}\n")
    files.target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.sync()
    control.before_write()
    try:
        dataset.rename(files.target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise DatasetNameTaken(files.target.name) from None
        raise


def _published(files: DatasetImportFiles) -> ImportResult | None:
    """Return what an earlier attempt of the same job published before it was lost."""
    try:
        job, _, content = (files.target / _RESULT).read_text().partition("\n")
    except OSError:
        return None
    return ImportResult.model_validate_json(content) if job == files.job else None
