"""What a training may be told while it runs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


class StopRequested(Exception):
    """`stop` was set. Raised where a training can end; caught in the recipe, which then tells `Stopped`."""


@dataclass(frozen=True)
class Control:
    """`stop`: set it, and the training saves its state at the next step and ends with `Stopped`.

    `save_every_seconds`: how often the state is saved inside an epoch. `before_write` is called before any file is
    written or renamed; it does not return where writing is no longer allowed. `release_space` is called when the disk
    is full and tells whether it could free some, so that the write is worth another try. `slot` tells trainings that
    run at once on one machine apart: see `choose_device`. `at_work` is called every now and then, from any thread,
    where long work goes on without an event. `predict_duration`: whether to tell how long it will take, which costs
    a few steps.
    """

    save_every_seconds: float = 60.0
    stop: threading.Event = field(default_factory=threading.Event)
    before_write: Callable[[], None] = lambda: None
    release_space: Callable[[], bool] = lambda: False
    slot: int = 0
    at_work: Callable[[], None] = lambda: None
    predict_duration: bool = True

    def refuse_if_stopped(self) -> None:
        """For places with nothing of their own to save. Raises StopRequested."""
        self.at_work()
        if self.stop.is_set():
            raise StopRequested
