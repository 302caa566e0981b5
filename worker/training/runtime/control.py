"""How the caller of a run controls it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.finetune.job_warning import JobWarning

if TYPE_CHECKING:  # the supervisor imports this module, and no torch
    from torch import Tensor


class StopRequested(Exception):
    """`stop` was set. Raised where a run can end; `report_outcome` catches it and reports `Stopped`."""


@dataclass(frozen=True)
class Control:
    """Set `stop`, and the run saves its state at the next step and ends with `Stopped`.

    `save_every_seconds` is the time between two states inside an epoch. `before_write` is called before any file is
    written or renamed; it does not return where writing is no longer allowed. `release_space` is called when the disk
    is full; it returns whether it freed space, so that the write is worth another try. `gpu` is the number of the GPU
    that the devices `auto` and `cuda` are (see `choose_device`). `at_work` is called every now and then, from any
    thread, during long work without an event. `predict_duration` turns the prediction of the duration on, which costs a
    few steps.
    `judge_faces` returns warnings about HR faces, uint8 [N, 3, 112, 112]; it is called before a training on images that
    no check of the dataset has looked at. `shown` returns a text as reports may show it, without absolute paths.
    """

    save_every_seconds: float = 60.0
    stop: threading.Event = field(default_factory=threading.Event)
    before_write: Callable[[], None] = lambda: None
    release_space: Callable[[], bool] = lambda: False
    gpu: int = 0
    at_work: Callable[[], None] = lambda: None
    predict_duration: bool = True
    judge_faces: Callable[["Tensor"], Sequence[JobWarning]] = lambda _: ()
    shown: Callable[[str], str] = str

    def refuse_if_stopped(self) -> None:
        """For code without a state to save. Raises StopRequested."""
        self.at_work()
        if self.stop.is_set():
            raise StopRequested
