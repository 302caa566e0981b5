"""Where a training, and an evaluation, reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from app.finetune.events import Checkpoint


@dataclass(frozen=True)
class ResumeFrom:
    """A saved state, and the best checkpoint of that moment where its files lie now."""

    state: Path
    best: Checkpoint | None


@dataclass(frozen=True)
class TrainingFiles:
    """Folders and files of one training. `dsr` is None for bicubic enlargement. Only `output_dir`, which is this
    training's alone, and `prepared_dir`, where trainings share prepared faces, are written to."""

    train_dir: Path
    val_dir: Path
    edgeface: Path
    dsr: Path | None
    output_dir: Path
    prepared_dir: Path
    resume: ResumeFrom | None = None


@dataclass(frozen=True)
class EvaluationFiles:
    """Where things lie. `before` are the weights before fine-tuning, if there are any to compare with; `dsr` is None
    for interpolation alone. All are only read."""

    eval_dir: Path
    edgeface: Path
    before: Path | None = None
    dsr: Path | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationJobFiles(EvaluationFiles):
    """The same for an evaluation as a job of its own, which alone writes to `output_dir`."""

    output_dir: Path
