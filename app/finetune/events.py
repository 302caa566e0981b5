"""What a training tells whoever listens, in the order it happens. Plain values only: they cross a process boundary."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.finetune.evaluation import Evaluation, Images
from app.finetune.job_warning import JobWarning
from app.finetune.ranges import Estimate
from app.finetune.selection import Selection

Stage = Literal[0, 1, 2]
"""0: a DSR network learns. 1: the ArcFace head. 2: backbone and head."""


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
    """`progress` in 0..1 over the whole job, never falling; `eta_seconds` None until it is steady. `epoch` is the one
    being trained, counted from 1; `step` the optimizer steps done in it, `steps_done` those of the whole training."""

    progress: float
    eta_seconds: float | None
    stage: Stage | None
    epoch: int | None
    step: int | None = None
    steps_done: int = 0


@dataclass(frozen=True)
class DurationPredicted:
    """How long the training will take, told once near its start. `seconds_spent` are those since this process began
    with it, `seconds_left` those to its end if it does not stop early. `stage2_epoch_seconds` are those of one epoch of
    stage 2 with its validation and files, of which there are `stage2_epochs`."""

    seconds_spent: float
    seconds_left: Estimate
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float


@dataclass(frozen=True)
class EpochFinished:
    """One epoch's metrics. Accuracies in 0..1, without the margin. Val metrics None in epochs without validation;
    val loss and accuracy None where no val subject is in train. `epoch` counts from 1 in each stage. `val_d_prime` is
    the distance between the means of genuine and impostor similarities (cosines, -1..1) in standard deviations."""

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
    val_genuine_similarity: float | None = None
    val_impostor_similarity: float | None = None
    val_d_prime: float | None = None


@dataclass(frozen=True)
class DsrEpochFinished:
    """One epoch of a DSR network. Losses are means over the training faces: `train_loss` weighted, its parts not. Val's
    are means over its probes of all sizes: `val_psnr` in decibels, `val_ssim` and `val_identity` (the cosine between
    the embeddings of the enlarged and the HR face) in -1..1; the others as in `EpochFinished`."""

    stage: Stage
    epoch: int
    epochs: int
    train_loss: float
    train_pixel_loss: float
    train_perceptual_loss: float
    train_identity_loss: float
    val_psnr: float
    val_ssim: float
    val_identity: float
    val_auc: float | None
    val_genuine_similarity: float | None
    val_impostor_similarity: float | None
    val_d_prime: float | None
    dsr_lr: float
    seconds: float
    images_per_second: float
    best: bool


@dataclass(frozen=True)
class EnlargementMeasured:
    """What a way to enlarge val's VLR faces is worth: `direct` (bilinear), `bicubic`, or `dsr`, the best epoch. The
    figures are as in `DsrEpochFinished`, `recognition` by the frozen EdgeFace, all sizes together."""

    by: Images
    psnr: float
    ssim: float
    identity: float
    recognition: Recognition


@dataclass(frozen=True)
class WrittenFile:
    """A file written whole: named only after its last byte was on disk."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class CheckpointWritten:
    """The best so far: `full` is edgeface_finetuned.pth, `backbone` its bare backbone state dict. Of a DSR network
    `full` is dsr.pth, and there is no other."""

    full: WrittenFile
    backbone: WrittenFile | None
    epoch: int
    score: float

    @property
    def files(self) -> list[WrittenFile]:
        return [self.full] if self.backbone is None else [self.full, self.backbone]


@dataclass(frozen=True)
class StateSaved:
    """All that a later training needs to go on as if nothing had happened: `epoch` epochs of `stage` are finished and
    `step` optimizer steps of the next are done; `steps_done` counts those of the whole training, `progress` is 0..1.
    `best` is the best checkpoint at that moment."""

    file: WrittenFile
    stage: Stage
    epoch: int
    step: int
    steps_done: int
    progress: float
    best: CheckpointWritten | None


@dataclass(frozen=True)
class BatchSplit:
    """The device ran out of memory: each batch is now computed in parts of at most `micro_batch_size` images whose
    gradients add up (gradient accumulation), so that the optimizer sees the same batch as before. Training goes on
    from the last saved state: `epoch` epochs of `stage` finished and `step` steps of the next."""

    batch_size: int
    micro_batch_size: int
    stage: Stage
    epoch: int
    step: int


@dataclass(frozen=True)
class RolledBack:
    """The loss was not finite: training goes on from the last saved state, its learning rates times
    `learning_rate_scale` from here on."""

    learning_rate_scale: float
    stage: Stage
    epoch: int
    step: int


@dataclass(frozen=True)
class Stopped:
    """The training was asked to stop, has saved what it could, and ends. The last event, as `Finished` would be."""


@dataclass(frozen=True)
class StoppedEarly:
    epoch: int
    best_epoch: int


@dataclass(frozen=True)
class EvaluationWritten:
    """The whole evaluation, as JSON and as a page to look at."""

    evaluation: Evaluation
    json: WrittenFile
    report: WrittenFile


@dataclass(frozen=True)
class Finished:
    """The training is over. `verdict` says whether recognition got better, worse or neither; `evaluated` is None where
    val could not be evaluated, which a warning explains. Of a DSR network `before` is bicubic enlargement, `after` the
    best epoch's, and nothing else is evaluated."""

    before: Recognition
    after: Recognition
    verdict: str
    best_epoch: int
    seconds: float
    evaluated: EvaluationWritten | None = None


@dataclass(frozen=True)
class EvaluationStarted:
    """An evaluation on its own has found its inputs and begins."""

    device: str


@dataclass(frozen=True)
class DryRunFinished:
    """What a training would take, found out by steps of each stage that are thrown away. The last event, as `Finished`
    would be.

    `seconds` are of the whole training if it does not stop early, and by what they go to, likely values. Bytes:
    `process_bytes` of memory the process that trains takes at its peak, `device_bytes` of the GPU (None on a CPU);
    on the disk `prepared_bytes` of faces that are not prepared yet, `state_bytes` of the three states that are there at
    a time, `checkpoint_bytes` of one checkpoint, both its files.
    """

    seconds: Estimate
    seconds_by_part: dict[str, float]
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float
    device: str
    images_enlarged: int
    process_bytes: int
    device_bytes: int | None
    prepared_bytes: int
    state_bytes: int
    checkpoint_bytes: int


TrainingEvent = (
    Prepared
    | Warned
    | RecognitionMeasured
    | StageStarted
    | DurationPredicted
    | Progressed
    | EpochFinished
    | DsrEpochFinished
    | EnlargementMeasured
    | CheckpointWritten
    | StateSaved
    | BatchSplit
    | RolledBack
    | StoppedEarly
    | EvaluationStarted
    | EvaluationWritten
    | Stopped
    | DryRunFinished
    | Finished
)
"""Of a training, up to `Finished`; of an evaluation on its own, `EvaluationStarted` up to `EvaluationWritten`."""
Report = Callable[[TrainingEvent], None]
