"""The typed messages between the supervisor and its trainer process.

The order goes down once, and `Stop` at most once; events come up, the last of them `Finished`, `DryRunFinished` (of an
evaluation `EvaluationWritten`), `Stopped` or `Failed`. If the supervisor dies, the trainer's pipe closes and it ends
itself.
"""

from dataclasses import dataclass
from pathlib import Path

from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ErrorReport
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import TrainingEvent
from worker.lease import LeaseClock
from worker.training.storage.paths import EvaluationFiles, TrainingFiles


@dataclass(frozen=True)
class TrainingOrder:
    """What the trainer is to do, and the folder that is its alone to write to (`files.output_dir`).

    `reserved` holds disk space that the trainer may take by deleting it; `slot` says which GPU `auto` means.
    `dry_run`: only find out what the training would take. `predict_duration`: tell how long it will take.
    """

    config: FinetuneConfig
    files: TrainingFiles
    lease: LeaseClock
    save_every_seconds: float
    reserved: Path
    slot: int = 0
    dry_run: bool = False
    predict_duration: bool = True


@dataclass(frozen=True)
class EvaluationOrder:
    """The same for an evaluation, which saves no state on its way; `output_dir` is its alone to write to."""

    config: EvaluationConfig
    files: EvaluationFiles
    output_dir: Path
    lease: LeaseClock
    save_every_seconds: float
    reserved: Path
    slot: int = 0


@dataclass(frozen=True)
class DsrTrainingOrder:
    """The same for the training of a DSR network; `files.dsr` is what it goes on from, None for a new one."""

    config: DsrTrainingConfig
    files: TrainingFiles
    lease: LeaseClock
    save_every_seconds: float
    reserved: Path
    slot: int = 0


Order = TrainingOrder | EvaluationOrder | DsrTrainingOrder


@dataclass(frozen=True)
class Stop:
    """Save the state at the next step, then end with `Stopped`."""


@dataclass(frozen=True)
class Failed:
    """The training ended with an error; nothing follows. `worth_another_try`: the machine is at fault, not the job."""

    error: ErrorReport
    worth_another_try: bool = False


@dataclass(frozen=True)
class StillPreparing:
    """Nothing to tell, but the trainer is at work: reading a large dataset takes long."""


TrainerMessage = TrainingEvent | Failed | StillPreparing
