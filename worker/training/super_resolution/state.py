"""All of a DSR training that changes while it trains: in memory, and as a file that a later one goes on from."""

import itertools
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.errors import InputsChanged, WeightsUnreadable
from worker.training.checkpoint import plain
from worker.training.control import Control
from worker.training.events import CheckpointWritten, StateSaved
from worker.training.files import ResumeFrom
from worker.training.models.dsr import DSR
from worker.training.models.state_dicts import load_plain
from worker.training.progress import Progress
from worker.training.validation import Best
from worker.training.writing import saved_bytes, write_whole

FORMAT = "dsr-training-1"


@dataclass(frozen=True)
class DsrInputs:
    """sha256 of the EdgeFace weights, of the DSR weights it began with (None: a new network), and of the folders'
    images: of the name and the sha256 of every file, in order."""

    edgeface: str
    dsr: str | None
    train_hr: str
    val_hr: str

    def differences(self, others: "DsrInputs") -> list[str]:
        """What is not the same, in words."""
        theirs = asdict(others)
        return [_IN_WORDS[name] for name, digest in asdict(self).items() if theirs[name] != digest]


_IN_WORDS = {
    "edgeface": "the EdgeFace weights",
    "dsr": "the DSR weights",
    "train_hr": "train's HR images",
    "val_hr": "val's HR images",
}


@dataclass
class DsrTraining:
    """`epoch` epochs are finished, `step` steps of the next are done; `sums` are over its faces: of the loss, and of
    its three parts unweighted. `seconds` were spent on it. `checkpoint` is that of the best epoch."""

    dsr: DSR
    optimizer: torch.optim.Adam
    micro_batch_size: int
    best: Best = field(default_factory=lambda: Best("verification_auc"))
    checkpoint: CheckpointWritten | None = None
    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(4, dtype=torch.float64))
    seconds: float = 0.0


class SavedDsrState:
    """A state file's content. Raises WeightsUnreadable, WeightsUnsafe or WeightsQuantized for what is no such file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = load_plain(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise WeightsUnreadable(path, f"it is no {FORMAT} state")
        self._content = content
        try:
            self.progress = float(content["progress"])
            self.inputs = DsrInputs(**content["inputs"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from None

    def refuse_changed(self, inputs: DsrInputs) -> None:
        """Raises InputsChanged."""
        if changed := inputs.differences(self.inputs):
            raise InputsChanged(changed)

    def restore(self, training: DsrTraining, progress: Progress, resume: ResumeFrom) -> None:
        """Everything as it was when the state was saved. Raises WeightsUnreadable where the state does not fit the
        network, or the checkpoint given is not that of its best epoch."""
        content = self._content
        try:
            training.dsr.load_state_dict(content["dsr"], strict=True)
            training.optimizer.load_state_dict(content["optimizer"])
            training.best = Best("verification_auc", **content["best"])
            training.epoch, training.step = int(content["epoch"]), int(content["step"])
            training.steps_done = int(content["steps_done"])
            training.sums = content["sums"]
            training.seconds = float(content["seconds"])
            training.micro_batch_size = int(content["micro_batch_size"])
            progress.go_back(float(content["work_done"]))
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise self._damaged(error) from None
        given = resume.best.epoch if resume.best else 0
        if given != training.best.epoch:
            reason = f"its best epoch is {training.best.epoch}, the checkpoint given of {given}"
            raise WeightsUnreadable(self._path, reason)
        training.checkpoint = resume.best

    def _damaged(self, error: Exception) -> WeightsUnreadable:
        return WeightsUnreadable(self._path, f"it is no whole training state ({type(error).__name__}: {error})")


class DsrStates:
    """The state files of one training, under its output folder. None is removed here, and none overwritten."""

    def __init__(self, output_dir: Path, inputs: DsrInputs, control: Control, progress: Progress) -> None:
        self._output_dir = output_dir
        self._inputs = inputs
        self._control = control
        self._progress = progress
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time for a state inside an epoch."""
        return time.monotonic() - self._saved_at >= self._control.save_every_seconds

    def write(self, training: DsrTraining) -> StateSaved:
        """Write `state-STEPS.pth`; it loads with weights_only=True. To be told once all is told that it stands after.
        Raises DiskFull."""
        content = {
            "format": FORMAT,
            "inputs": asdict(self._inputs),
            "dsr": plain(training.dsr.state_dict()),
            "optimizer": training.optimizer.state_dict(),
            "best": {
                "rank": training.best.rank,
                "epoch": training.best.epoch,
                "validations_since": training.best.validations_since,
            },
            "epoch": training.epoch,
            "step": training.step,
            "steps_done": training.steps_done,
            "sums": training.sums,
            "seconds": training.seconds,
            "micro_batch_size": training.micro_batch_size,
            "work_done": self._progress.work_done,
            "progress": self._progress.share,
        }
        file = write_whole(self._new_path(training.steps_done), saved_bytes(content), self._control)
        self._saved_at = time.monotonic()
        return StateSaved(
            file=file,
            stage=0,
            epoch=training.epoch,
            step=training.step,
            steps_done=training.steps_done,
            progress=self._progress.share,
            best=training.checkpoint,
        )

    def _new_path(self, steps_done: int) -> Path:
        name = f"state-{steps_done:08d}"
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        return next(path for name in names if not (path := self._output_dir / f"{name}.pth").exists())
