"""The typed messages between the supervisor and its trainer process.

The order goes down once; training events and at last one `Failed` (or the event `Finished`) come up. To stop, the
supervisor signals the process; if the supervisor dies, the trainer's pipe closes and it ends itself.
"""

from dataclasses import dataclass

from app.finetune.config import FinetuneConfig
from app.finetune.errors import ErrorReport
from worker.training.events import TrainingEvent
from worker.training.files import TrainingFiles


@dataclass(frozen=True)
class TrainingOrder:
    """What the trainer is to do, and the folder that is its alone to write to (`files.output_dir`)."""

    config: FinetuneConfig
    files: TrainingFiles


@dataclass(frozen=True)
class Failed:
    """The training ended with an error; nothing follows."""

    error: ErrorReport


TrainerMessage = TrainingEvent | Failed
