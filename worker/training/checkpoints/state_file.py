"""State files: their names, when one is due, and the content that fine-tunings and DSR trainings share."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from app.finetune.errors import InputsChanged
from app.finetune.events import Checkpoint
from app.finetune.images import READER_VERSION
from app.finetune.job_warning import JobWarning
from app.finetune.weights_errors import WeightsUnreadable
from worker.training.models.state_dicts import load_plain
from worker.training.runtime.control import Control
from worker.training.storage.digests import Digests
from worker.training.storage.paths import ResumeFrom

_Inputs = TypeVar("_Inputs", bound=Digests)


class StateFiles:
    """The state files of one run, in its output folder. None is removed or overwritten here."""

    def __init__(self, output_dir: Path, control: Control) -> None:
        self._output_dir = output_dir
        self._control = control
        self.restart_clock()

    def restart_clock(self) -> None:
        """Begin the time to the next state."""
        self._started_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether `save_every_seconds` have passed."""
        return time.monotonic() - self._started_at >= self._control.save_every_seconds

    def new_path(self, steps_done: int) -> Path:
        """`state-STEPS.pth`, or another name where that is taken."""
        name = f"state-{steps_done:08d}"
        names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
        return next(path for name in names if not (path := self._output_dir / f"{name}.pth").exists())


class StateContent(Generic[_Inputs]):
    """The content of a state file, which has the key and the value of `mark`.

    Raises WeightsUnreadable, WeightsUnsafe or WeightsQuantized where the file is none.
    """

    def __init__(self, path: Path, mark: tuple[str, object], inputs: type[_Inputs]) -> None:
        self._path = path
        content = load_plain(path)
        key, format_ = mark
        if not isinstance(content, dict) or content.get(key) != format_:
            raise WeightsUnreadable(path, f"it is no training state of format {format_}")
        self._content = content
        with self._refuse_damage():
            self.progress = float(content["progress"])
            self.inputs = inputs(**content["inputs"])
            self.best_epoch = int(content["best"]["epoch"])
        if self.inputs.reader > READER_VERSION:
            raise WeightsUnreadable(path, "a newer version of edgeface-finetune saved it")

    def warnings(self) -> list[JobWarning]:
        """A warning where the run reads its images as an older version did, to go on with the pixels it began with."""
        if self.inputs.reader == READER_VERSION:
            return []
        message = (
            "this training began with an older version and goes on with the pixels that that read: 16-bit, "
            "floating-point and transparent images may be darker, or show what transparency hides; train from the "
            "start to read them anew: POST /jobs/{id}/retry?from=start"
        )
        return [JobWarning(code="images_read_as_before", message=message)]

    def refuse_changed(self, inputs: _Inputs) -> None:
        """Raises InputsChanged."""
        if changed := inputs.differences(self.inputs):
            raise InputsChanged(changed)

    def checkpoint_of(self, resume: ResumeFrom) -> Checkpoint | None:
        """The best checkpoint of the state. Raises WeightsUnreadable where `resume` has another or none."""
        given = resume.best.epoch if resume.best else 0
        if given != self.best_epoch:
            raise WeightsUnreadable(self._path, f"its best epoch is {self.best_epoch}, the checkpoint given of {given}")
        return resume.best

    @contextmanager
    def _refuse_damage(self) -> Iterator[None]:
        """Raises WeightsUnreadable where something is missing or does not fit."""
        try:
            yield
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = f"it is no whole training state ({type(error).__name__}: {error})"
            raise WeightsUnreadable(self._path, reason) from None
