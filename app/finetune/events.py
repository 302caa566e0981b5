"""The events that a training emits, in the order in which they happen.

Each event is defined once, here or in `checkpoint`, `dataset_import_events`, `epoch_metrics`, `phases`, `recovery` and
`step_choice`. The trainer sends it through the pipe to its supervisor, a row keeps it, and the API and the terminal
show it. Plain values only: events cross a process boundary, and their field names are the keys of the stored JSON.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app.finetune.checkpoint import Checkpoint as Checkpoint
from app.finetune.checkpoint import Stage as Stage
from app.finetune.checkpoint import WrittenFile as WrittenFile
from app.finetune.dataset_findings import DatasetFindings
from app.finetune.dataset_import_events import DatasetImported as DatasetImported
from app.finetune.dataset_import_events import DatasetImportStarted as DatasetImportStarted
from app.finetune.epoch_metrics import DsrEpochFinished as DsrEpochFinished
from app.finetune.epoch_metrics import EpochFinished as EpochFinished
from app.finetune.epoch_metrics import EpochMetrics as EpochMetrics
from app.finetune.evaluation import Evaluation, Images
from app.finetune.event_data import EventData
from app.finetune.job_warning import JobWarning
from app.finetune.listing import Listing
from app.finetune.model_export import ModelExported as ModelExported
from app.finetune.model_export import ModelExportStarted as ModelExportStarted
from app.finetune.phases import Phase as Phase
from app.finetune.phases import PhaseStarted as PhaseStarted
from app.finetune.ranges import Estimate
from app.finetune.recovery import BatchSplit as BatchSplit
from app.finetune.recovery import RolledBack as RolledBack
from app.finetune.recovery import StepsSkipped as StepsSkipped
from app.finetune.selection import Selection
from app.finetune.step_choice import StepChosen as StepChosen
from app.finetune.step_choice import StepWay as StepWay

_ABSENT = "Absent in events of version 0.2 and before."


def _is_none(value: object) -> bool:
    return value is None


Objective = Literal["super_resolution", "arcface", "distillation"]


@dataclass(frozen=True)
class Prepared(EventData):
    """The dataset is decoded and super-resolved."""

    train_images: int
    val_images: int
    subjects: int
    selection: Annotated[Selection, Field(description="The measure that chooses the best epoch.")]
    variant: Annotated[str, Field(description="Architecture of the backbone.")]
    enlargement: Annotated[str, Field(description="In words: the DSR network or the interpolation.")]
    resampler: Annotated[str, Field(description="In words.")]
    device: str
    precision: str
    seconds: float
    val_subjects: Annotated[int | None, Field(description=_ABSENT, exclude_if=_is_none)] = None
    val_subjects_in_train: Annotated[
        int | None,
        Field(description="Of them those that train has too. Only these have a class accuracy.", exclude_if=_is_none),
    ] = None


@dataclass(frozen=True)
class Warned:
    """A warning for a person. The row keeps `warning` itself."""

    warning: JobWarning


@dataclass(frozen=True)
class Recognition:
    """VLR probes against the HR gallery of val: all pairs except each image with itself. Rates are in 0..1, and null
    where there are too few pairs. For a DSR network the probes of all its sizes together, by the frozen EdgeFace."""

    auc: float | None
    rank1: Annotated[
        float | None, Field(description="One HR gallery image per subject, averaged over the choices of it.")
    ]
    tar_at_far_1_percent: float | None
    tar_at_far_01_percent: Annotated[float | None, Field(description="TAR at FAR 0.1%.")]
    genuine_pairs: int
    impostor_pairs: int


@dataclass(frozen=True)
class RecognitionMeasured(EventData):
    """Recognition before fine-tuning, or after it by the best checkpoint."""

    when: Literal["before", "after"]
    recognition: Recognition


@dataclass(frozen=True)
class StageStarted(EventData):
    """A stage of the training begins."""

    stage: Stage
    epochs: Annotated[int, Field(description="Epochs planned in this stage.")]
    objective: Annotated[
        Objective | None,
        Field(
            description="`super_resolution`: the losses of a DSR network. `arcface`: train's subjects as classes, with "
            f"a margin. `distillation`: the teacher's similarities between identities. {_ABSENT}",
            exclude_if=_is_none,
        ),
    ] = None
    identities: Annotated[
        int | None,
        Field(description="The classes that the objective tells apart; absent for a DSR network.", exclude_if=_is_none),
    ] = None


@dataclass(frozen=True)
class Progressed:
    """The position of the training. It updates the job's row and makes no event there.

    `progress` is in 0..1 over the whole job and never falls; `phase_progress` is that of the `phase`. `eta_seconds` are
    the seconds left of the whole job without early stopping; None until the size of the job is known, never after.
    `epoch` is the one that is trained, counted from 1. `step` counts the optimizer steps done in it, `steps_done` those
    of the whole training.
    """

    progress: float
    eta_seconds: float | None
    stage: Stage | None
    epoch: int | None
    step: int | None = None
    steps_done: int = 0
    phase: Phase | None = None
    phase_progress: float | None = None


@dataclass(frozen=True)
class DurationPredicted:
    """The predicted duration of the training, emitted once near its start.

    `seconds_spent` are those since this process started on it. `seconds_left` are those to its end without early
    stopping. `stage2_epoch_seconds` are those of one of the `stage2_epochs`, with validation and files.
    `can_stop_early` is that of the config.
    """

    seconds_spent: float
    seconds_left: Estimate
    stage1_epochs: int
    stage2_epochs: int
    stage2_epoch_seconds: float
    can_stop_early: bool = False


@dataclass(frozen=True)
class EnlargementMeasured(EventData):
    """The quality of one way to enlarge val's VLR faces, all sizes together. Recognition is by the frozen EdgeFace."""

    by: Annotated[Images, Field(description="`direct`: bilinear. `bicubic`. `dsr`: the best epoch of the network.")]
    psnr: Annotated[float, Field(description="Decibels, against the HR faces.")]
    ssim: Annotated[float, Field(description="-1..1.")]
    identity: Annotated[float, Field(description="Mean cosine between the embeddings of the face and its HR image.")]
    recognition: Recognition


@dataclass(frozen=True)
class StateSaved:
    """The training state is saved: a later training resumes from it bit for bit.

    `epoch` epochs of `stage` are finished and `step` optimizer steps of the next one are done. `steps_done` counts
    those of the whole training, `progress` is in 0..1. `best` is the best checkpoint at that moment.
    """

    file: WrittenFile
    stage: Stage
    epoch: int
    step: int
    steps_done: int
    progress: float
    best: Checkpoint | None


@dataclass(frozen=True)
class Stopped:
    """The training was asked to stop, saved its state if it could, and ends. The last event of this attempt."""


@dataclass(frozen=True)
class StoppedEarly(EventData):
    """Early stopping ends stage 2."""

    epoch: int
    best_epoch: int


@dataclass(frozen=True)
class EvaluationWritten:
    """The evaluation as JSON and as an HTML report."""

    evaluation: Evaluation
    json: WrittenFile
    report: WrittenFile


@dataclass(frozen=True)
class Finished:
    """The training is over.

    `verdict` says whether recognition got better, worse or neither. `evaluated` is None where val could not be
    evaluated, and `exported` where there is no ONNX file; a warning explains either. For a DSR network `before` is
    bicubic enlargement, `after` the best epoch's, and both are None.
    """

    before: Recognition
    after: Recognition
    verdict: str
    best_epoch: int
    seconds: float
    evaluated: EvaluationWritten | None = None
    selection: Selection | None = None
    exported: ModelExported | None = None


@dataclass(frozen=True)
class EvaluationStarted(EventData):
    """An evaluation without a training has found its inputs and starts."""

    device: str


@dataclass(frozen=True)
class DatasetCheckStarted(EventData):
    """The check of a dataset has listed the images that it reads."""

    images: int
    device: str


@dataclass(frozen=True)
class DatasetChecked:
    """The check of a dataset is done; the last event. `manifest` is the digest of the manifest that it kept, `listing`
    the names that it read."""

    findings: DatasetFindings
    manifest: str
    listing: Listing


@dataclass(frozen=True)
class DryRunFinished:
    """The costs of a training, estimated by steps of each stage that are thrown away. The last event of a dry run.

    `seconds` are those of the whole training without early stopping, `seconds_by_part` their likely values by part.
    `process_bytes` is the peak memory of the training process, `device_bytes` that of the GPU (None on a CPU). On disk:
    `prepared_bytes` of faces that are not prepared yet, `state_bytes` of the states that exist at a time, and
    `checkpoint_bytes` of both files of one checkpoint. `can_stop_early` is that of the config.
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
    can_stop_early: bool = False


TrainingEvent = (
    PhaseStarted
    | Prepared
    | Warned
    | RecognitionMeasured
    | StageStarted
    | DurationPredicted
    | Progressed
    | EpochFinished
    | DsrEpochFinished
    | EnlargementMeasured
    | Checkpoint
    | StateSaved
    | BatchSplit
    | RolledBack
    | StepsSkipped
    | StepChosen
    | StoppedEarly
    | EvaluationStarted
    | EvaluationWritten
    | Stopped
    | DatasetCheckStarted
    | DatasetChecked
    | DatasetImportStarted
    | DatasetImported
    | DryRunFinished
    | ModelExportStarted
    | ModelExported
    | Finished
)
"""A training ends with `Finished`, a job that only exports with `ModelExported`. An evaluation starts with
`EvaluationStarted` and ends with `EvaluationWritten`."""

Report = Callable[[TrainingEvent], None]
