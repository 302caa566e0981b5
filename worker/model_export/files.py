"""Paths of the job that writes weights as an ONNX file."""

from dataclasses import dataclass
from pathlib import Path

from app.finetune.checked_copy import Copies


@dataclass(frozen=True)
class ModelExportFiles:
    """The job reads `edgeface`, or its copy in `copies`, and writes to `output_dir`. `job` is its id."""

    edgeface: Path
    output_dir: Path
    job: str
    copies: Copies | None = None
