"""Where a training reads and writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrainingFiles:
    """Folders and files of one training. `dsr` is None for bicubic enlargement. Only `output_dir` is written to."""

    train_dir: Path
    val_dir: Path
    edgeface: Path
    dsr: Path | None
    output_dir: Path
