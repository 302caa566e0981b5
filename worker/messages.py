"""The typed messages between the supervisor and its trainer process.

The order goes down once, and `Stop` at most once. Events come up; the last message is one of `LAST_MESSAGES`. If the
supervisor dies, the trainer's pipe closes and the trainer ends itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from app.finetune import events
from app.finetune.errors import ErrorReport
from app.finetune.job_config import JobConfig
from app.logs import LogSetup
from worker.gpu.leases import GpuLease
from worker.lease import LeaseClock


class JobFiles(Protocol):
    """The files of one attempt: what it reads, and `output_dir`, where it alone writes."""

    @property
    def output_dir(self) -> Path: ...


_Config = TypeVar("_Config", bound=JobConfig, covariant=True)
_Files = TypeVar("_Files", bound=JobFiles, covariant=True)


@dataclass(frozen=True)
class Order(Generic[_Config, _Files]):
    """One attempt at a job of any kind.

    The trainer calls `run(config, files, report, control)`. `inputs` are the paths in `files` that the config names.
    `roots` are the folders that links in these may lead to.
    `reserved` is a file that holds disk space: the trainer may delete it to take that space. `gpu` is the number of
    the GPU that the devices `auto` and `cuda` are; the trainer holds `gpu_lease` until it has ended.
    """

    run: str
    """A function as "module:name": the supervisor imports no PyTorch."""
    config: _Config
    files: _Files
    inputs: tuple[Path, ...]
    roots: tuple[Path, ...]
    lease: LeaseClock
    save_every_seconds: float
    reserved: Path
    gpu: int = 0
    gpu_lease: GpuLease | None = None
    predict_duration: bool = False
    logs: LogSetup = field(default_factory=lambda: LogSetup("trainer"))


TrainerMain = Callable[[Connection, Order[Any, Any]], None]
"""The main function of a trainer process."""


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
    """The trainer is at work but has no news: reading a large dataset takes long."""


@dataclass(frozen=True)
class Logged:
    """The trainer logged an entry, for the log of its job. `text` has no secret and no absolute path."""

    level: str
    text: str


TrainerMessage = events.TrainingEvent | Failed | StillPreparing | Logged

LAST_MESSAGES = (
    events.Finished,
    events.EvaluationWritten,
    events.DryRunFinished,
    events.DatasetChecked,
    events.DatasetImported,
    events.ModelExported,
    events.Stopped,
    Failed,
)
