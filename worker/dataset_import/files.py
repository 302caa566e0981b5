"""Paths of the import of a dataset."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DatasetImportFiles:
    """As DatasetImportInputs; `job` is the id of the job."""

    archive: Path
    archive_name: str
    target: Path
    quarantine: Path
    most_bytes: int
    output_dir: Path
    job: str
