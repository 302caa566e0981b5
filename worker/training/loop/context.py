"""The parts of a training run that stay constant from the first step to the last."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import Selection
from app.finetune.events import Objective as ObjectiveName
from app.finetune.events import Report, Stage
from worker.training.checkpoints.weight_interpolation import Weights, interpolated
from worker.training.data.loader import FaceSource
from worker.training.data.val_faces import ValFaces
from worker.training.loop.graphed_step import Captures
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.device import Precision
from worker.training.runtime.progress import Progress


@dataclass(frozen=True)
class RunContext:
    """Data, device, callbacks and controls of one training run.

    `sources` are the faces that each stage trains on, of so many `subjects`. The loop calls `step_listeners` after each
    optimizer step, before the next batch is loaded. `initial_weights` are the backbone's weights before the first step,
    None where `interpolation` is 1. `compiled_dir` as in TrainingFiles. `captures` are those of the
    process, which trains one job.
    """

    config: FinetuneConfig
    device: torch.device
    precision: Precision
    sources: Mapping[Stage, FaceSource]
    val: ValFaces
    selection: Selection
    report: Report
    progress: Progress
    control: Control
    subjects: int
    parallel: CpuParallel = SINGLE_THREAD
    initial_weights: Weights | None = None
    compiled_dir: Path | None = None
    step_listeners: list[Callable[[], None]] = field(default_factory=list)
    captures: Captures = field(default_factory=Captures)

    def objective(self, stage: Stage) -> ObjectiveName:
        """What the stage learns."""
        return "distillation" if stage == 2 and self.config.synthetic_identities else "arcface"

    def identities(self, stage: Stage) -> int:
        """The classes that the stage tells apart."""
        synthetic = self.config.synthetic_identities if self.objective(stage) == "distillation" else 0
        return self.subjects + synthetic

    @property
    def images(self) -> int:
        """The number of faces in an epoch."""
        return len(self.sources[1])

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.images // self.config.batch_size)

    def epochs(self, stage: Stage) -> int:
        """The number of epochs of a stage, if it does not stop early."""
        return self.config.stage1_epochs if stage == 1 else self.config.stage2_epochs

    def exported(self, backbone: EdgeFace) -> EdgeFace:
        """The model to export: `backbone`, or its interpolation with the initial weights."""
        return (
            backbone
            if self.initial_weights is None
            else interpolated(self.initial_weights, backbone, self.config.interpolation)
        )
