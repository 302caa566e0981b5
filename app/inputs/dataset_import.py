"""Finds and checks the inputs of the import of a dataset."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.dataset_roots import dataset_roots
from app.datasets.records import DatasetRecords
from app.finetune.dataset_errors import DatasetNameTaken
from app.finetune.dataset_import_config import DatasetImportConfig
from app.inputs.dataset_checks import CheckedInputs
from app.jobs.tables import Upload
from app.settings import Settings
from app.uploads.errors import UploadNotFound
from app.uploads.rows import path_of_finished, used_bytes


@dataclass(frozen=True)
class DatasetImportInputs:
    """`archive` is called `archive_name` by who sent it. The dataset becomes `target`; until then the job works in
    folders of `quarantine`. It may have `most_bytes`."""

    archive: Path
    archive_name: str
    target: Path
    quarantine: Path
    most_bytes: int


def find_dataset_import_inputs(
    config: DatasetImportConfig, settings: Settings, session: Session
) -> DatasetImportInputs:
    """Raises UploadNotFound or UploadUnfinished."""
    upload = session.get(Upload, config.upload)
    if upload is None:
        raise UploadNotFound(config.upload)
    quota = int(settings.upload_quota_gb * 1e9) - used_bytes(session, upload.owner) + upload.length
    free = shutil.disk_usage(settings.var_dir).free - int(settings.upload_keep_free_gb * 1e9)
    return DatasetImportInputs(
        archive=path_of_finished(upload, settings.uploads_dir),
        archive_name=upload.name,
        target=dataset_roots(settings).uploaded / config.name,
        quarantine=settings.uploads_dir / "quarantine",
        most_bytes=max(0, min(quota, free)),
    )


def check_dataset_import(
    config: DatasetImportConfig, inputs: DatasetImportInputs, records: DatasetRecords
) -> CheckedInputs:
    """Raises DatasetNameTaken."""
    if os.path.lexists(inputs.target) or os.path.lexists(records.roots.own / config.name):
        raise DatasetNameTaken(config.name)
    return CheckedInputs([])
