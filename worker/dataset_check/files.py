"""Paths of the check of a dataset."""

from dataclasses import dataclass
from pathlib import Path

from app.finetune.checked_copy import Copies
from app.finetune.dataset_findings import DatasetFindings


@dataclass(frozen=True)
class DatasetCheckFiles:
    """`folder` is the dataset. `edgeface` judges the subjects' names, None: they are not judged. The manifest goes into
    `keep_dir`, prepared HR faces into `prepared_dir`, where trainings find them. `known` are earlier
    findings about the images with the digest `known_manifest`, whose subjects `known_pattern` found. `copies` as in
    TrainingFiles."""

    folder: Path
    edgeface: Path | None
    keep_dir: Path
    output_dir: Path
    prepared_dir: Path
    known: DatasetFindings | None = None
    known_manifest: str | None = None
    known_pattern: str | None = None
    copies: Copies | None = None
