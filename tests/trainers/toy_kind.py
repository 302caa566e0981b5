"""A kind of job that exists in the tests alone: its config, a row for each of the three tables, and its work.

A new kind of the service is added in the same way: app/finetune/job_kinds.py, app/inputs/kinds.py, worker/kinds.py, and
modules of its own.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from sqlmodel import Session

from app.datasets.records import DatasetRecords
from app.finetune import events
from app.finetune.config import Name
from app.finetune.errors import ConfigError
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import Kind
from app.finetune.job_warning import JobWarning
from app.inputs.dataset_checks import CheckedInputs
from app.inputs.kinds import InputsOfConfig
from app.inputs.names import find_weights
from app.settings import Settings
from tests.trainers import fixtures
from worker.gpu.leases import MemoryNeed
from worker.kinds import WorkerKind
from worker.space import SpaceNeeded
from worker.training.runtime.control import Control


class ToyConfig(JobConfig):
    edgeface: Name = "edgeface_xxs.pt"
    words: int = Field(1, ge=0)

    @property
    def summary(self) -> str:
        return f"{self.words} words about {self.edgeface}"


@dataclass(frozen=True)
class ToyInputs:
    edgeface: Path


@dataclass(frozen=True)
class ToyFiles:
    edgeface: Path
    output_dir: Path


def find(config: ToyConfig, settings: Settings, session: Session) -> ToyInputs:
    return ToyInputs(find_weights("edgeface", "EdgeFace", config.edgeface, settings, session))


def check(config: ToyConfig, inputs: ToyInputs, _: DatasetRecords) -> CheckedInputs:
    if config.words == 0:
        raise ConfigError("a toy needs words", "ask for one")
    return CheckedInputs([JobWarning(code="toy", message=f"it reads {inputs.edgeface.name}")])


def work(config: ToyConfig, files: ToyFiles, report: events.Report, control: Control) -> None:
    """The trainer's part."""
    assert not control.stop.is_set()
    report(events.EvaluationStarted("cpu"))
    for word in range(config.words):
        report(events.Warned(JobWarning(code=f"word_{word}", message=f"{files.edgeface.stat().st_size} bytes")))
    report(fixtures.evaluation(files.output_dir))


KIND = Kind(
    name="toy",
    title="a toy",
    path="/toys",
    config=ToyConfig,
    description="Queue a toy.",
    stored_as="toy_of_the_tests",
    weights={"edgeface": "EdgeFace"},
    evaluated=True,
    instead_of_checkpoint="its evaluation is its result",
)
INPUTS = InputsOfConfig(find, check)
WORKER_KIND = WorkerKind(
    run="tests.trainers.toy_kind:work",
    files=lambda inputs, place: ToyFiles(inputs.edgeface, place.output_dir),
    space=lambda _config, _inputs, _faces_are_prepared: SpaceNeeded(save=1024, faces=0),
    gpu_memory=lambda _config, _inputs: MemoryNeed(0, 0),
    resumable=False,
)
