"""Train state of a DSR training, in memory and as a file to resume from."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.events import Checkpoint, StateSaved
from worker.training.checkpoints.best_model import plain
from worker.training.checkpoints.state_file import StateContent, StateFiles
from worker.training.models.dsr import DSR
from worker.training.models.layout import keep_moments_laid_out
from worker.training.runtime.control import Control
from worker.training.runtime.progress import Progress
from worker.training.storage.atomic import saved_bytes, write_whole
from worker.training.storage.digests import Digests
from worker.training.validation.selection import Best

FORMAT = "dsr-training-1"


@dataclass(frozen=True)
class DsrInputs(Digests):
    """sha256 of the EdgeFace weights, of the initial DSR weights (None: a new network), and of the image folders, each
    over the version of the image reader and the name and the sha256 of every file, in order."""

    edgeface: str
    dsr: str | None
    train_hr: str
    val_hr: str


@dataclass
class DsrTrainState:
    """Mutable state of a run: `epoch` finished epochs and `step` steps of the running one, with `sums` over its faces
    (of the total loss and of the three unweighted losses) and its `seconds`. `checkpoint` is the best epoch's."""

    dsr: DSR
    optimizer: torch.optim.Adam
    micro_batch_size: int
    best: Best = field(default_factory=lambda: Best("verification_auc"))
    checkpoint: Checkpoint | None = None
    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    seconds: float = 0.0

    def __post_init__(self) -> None:
        keep_moments_laid_out(self.optimizer)


class SavedDsrState(StateContent[DsrInputs]):
    """A saved state of a DSR training."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("format", FORMAT), DsrInputs)

    def restore(self, state: DsrTrainState) -> None:
        """Restore everything except the best checkpoint, which is a separate file.

        Raises WeightsUnreadable if the state does not fit the network.
        """
        content = self._content
        with self._refuse_damage():
            state.dsr.load_state_dict(content["dsr"], strict=True)
            state.optimizer.load_state_dict(content["optimizer"])
            state.best = Best("verification_auc", **content["best"])
            state.epoch, state.step = int(content["epoch"]), int(content["step"])
            state.steps_done = int(content["steps_done"])
            state.sums = content["sums"]
            state.seconds = float(content["seconds"])
            state.micro_batch_size = int(content["micro_batch_size"])


class DsrTrainStateFiles(StateFiles):
    """State files of one training in its output folder."""

    def __init__(self, output_dir: Path, inputs: DsrInputs, control: Control, progress: Progress) -> None:
        super().__init__(output_dir, control)
        self._inputs = inputs
        self._progress = progress

    def write(self, state: DsrTrainState) -> StateSaved:
        """Write `state-STEPS.pth`, which loads with weights_only=True. Report the returned event after all events that
        the state includes. Raises DiskFull."""
        content = {
            "format": FORMAT,
            "inputs": asdict(self._inputs),
            "dsr": plain(state.dsr.state_dict()),
            "optimizer": state.optimizer.state_dict(),
            "best": state.best.saved(),
            "epoch": state.epoch,
            "step": state.step,
            "steps_done": state.steps_done,
            "sums": state.sums,
            "seconds": state.seconds,
            "micro_batch_size": state.micro_batch_size,
            "work_done": self._progress.done,  # version 0.2 reads it
            "progress": self._progress.share,
        }
        file = write_whole(self.new_path(state.steps_done), saved_bytes(content), self._control)
        self.restart_clock()
        return StateSaved(
            file=file,
            stage=0,
            epoch=state.epoch,
            step=state.step,
            steps_done=state.steps_done,
            progress=self._progress.share,
            best=state.checkpoint,
        )
