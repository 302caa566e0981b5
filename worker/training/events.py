"""What a training tells whoever listens, in the order it happens. Plain values only: they cross a process boundary."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.finetune.dataset import JobWarning, Selection

Stage = Literal[1, 2]


@dataclass(frozen=True)
class Prepared:
    """The dataset is decoded and enlarged. `enlargement` and `resampler` say with what, in words."""

    train_images: int
    val_images: int
    subjects: int
    selection: Selection
    variant: str
    enlargement: str
    resampler: str
    device: str
    precision: str
    seconds: float


@dataclass(frozen=True)
class Warned:
    warning: JobWarning


@dataclass(frozen=True)
class Recognition:
    """VLR probes against the HR gallery of val: all pairs but each image with itself.

    Rates in 0..1; None where the pairs do not suffice. `rank1` is with one HR gallery image per subject, averaged over
    the choices of it.
    """

    auc: float | None
    rank1: float | None
    tar_at_far_1_percent: float | None
    tar_at_far_01_percent: float | None
    genuine_pairs: int
    impostor_pairs: int


@dataclass(frozen=True)
class RecognitionMeasured:
    """`before`: the weights as given. `after`: the best checkpoint."""

    when: Literal["before", "after"]
    recognition: Recognition


@dataclass(frozen=True)
class StageStarted:
    stage: Stage
    epochs: int


@dataclass(frozen=True)
class Progressed:
    """`progress` in 0..1 over the whole job, never falling; `eta_seconds` None until it is steady."""

    progress: float
    eta_seconds: float | None
    stage: Stage | None
    epoch: int | None


@dataclass(frozen=True)
class EpochFinished:
    """One epoch's metrics. Accuracies in 0..1, without the margin. Val metrics None in epochs without validation;
    val loss and accuracy None where no val subject is in train. `epoch` counts from 1 in each stage."""

    stage: Stage
    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    val_auc: float | None
    head_lr: float
    backbone_lr: float | None
    seconds: float
    images_per_second: float
    best: bool


@dataclass(frozen=True)
class WrittenFile:
    """A file written whole: named only after its last byte was on disk."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class CheckpointWritten:
    """The best so far: `full` is edgeface_finetuned.pth, `backbone` its bare backbone state dict."""

    full: WrittenFile
    backbone: WrittenFile
    epoch: int
    score: float


@dataclass(frozen=True)
class StoppedEarly:
    epoch: int
    best_epoch: int


@dataclass(frozen=True)
class Finished:
    """The training is over. `verdict` says in one sentence whether recognition got better, worse or neither."""

    before: Recognition
    after: Recognition
    verdict: str
    best_epoch: int
    seconds: float


TrainingEvent = (
    Prepared
    | Warned
    | RecognitionMeasured
    | StageStarted
    | Progressed
    | EpochFinished
    | CheckpointWritten
    | StoppedEarly
    | Finished
)
Report = Callable[[TrainingEvent], None]
