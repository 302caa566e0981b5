"""Paths of the files that a training, or an evaluation, reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from app.finetune.checked_copy import Copies
from app.finetune.events import Checkpoint
from app.finetune.part_reading import AS_BUILT, PartReading


@dataclass(frozen=True)
class ResumeFrom:
    """A saved state, and the best checkpoint at the time, with the current paths of its files."""

    state: Path
    best: Checkpoint | None


@dataclass(frozen=True)
class TrainingFiles:
    """Folders and files of one training. `dsr` is None for bicubic enlargement.

    The training writes to `output_dir`, which no other training uses, and to `prepared_dir`, which all share. `job` is
    its id in the service. `compiled_dir` has compiled networks; None where none is to be used. `copies` has the checked
    copy of each weights file, which is opened in its place; None where the files themselves are opened.
    """

    train_dir: Path
    val_dir: Path
    edgeface: Path
    dsr: Path | None
    output_dir: Path
    prepared_dir: Path
    resume: ResumeFrom | None = None
    job: str | None = None
    train_reading: PartReading = AS_BUILT
    val_reading: PartReading = AS_BUILT
    compiled_dir: Path | None = None
    copies: Copies | None = None


@dataclass(frozen=True)
class EvaluationFiles:
    """Files and folders of one evaluation, all of them read-only. `before` are the weights before fine-tuning, None
    without a comparison; `dsr` is None for interpolation alone. `job` is its id in the service. `copies` as in
    TrainingFiles."""

    eval_dir: Path
    edgeface: Path
    before: Path | None = None
    dsr: Path | None = None
    job: str | None = None
    eval_reading: PartReading = AS_BUILT
    copies: Copies | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationJobFiles(EvaluationFiles):
    """The same for an evaluation as a job of its own, which alone writes to `output_dir`."""

    output_dir: Path
