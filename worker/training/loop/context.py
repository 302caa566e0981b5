"""The parts of a training run that stay constant from the first step to the last."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import Selection
from app.finetune.events import Report
from worker.training.checkpoints.weight_interpolation import Weights, interpolated
from worker.training.data.val_faces import ValFaces
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.teacher import TeacherTargets
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.device import Precision
from worker.training.runtime.progress import Progress

# Shape suffixes: N training faces, C = 3 channels (RGB), H = W = 112; _u8 is uint8 in 0..255.


@dataclass(frozen=True)
class RunContext:
    """Data, device, callbacks and controls of one training run.

    `faces_u8_NCHW` may lie on another device than `device`, or on disk; `labels_N` lie on the same device as the faces.
    The loop calls `after_step` after each optimizer step. `targets` are stage 2's teacher targets, None where stage 2
    trains ArcFace. `initial_weights` are the backbone's weights before the first step, None where `interpolation` is 1.
    """

    config: FinetuneConfig
    device: torch.device
    precision: Precision
    faces_u8_NCHW: Tensor
    labels_N: Tensor
    val: ValFaces
    selection: Selection
    report: Report
    progress: Progress
    control: Control
    parallel: CpuParallel = SINGLE_THREAD
    after_step: Callable[[], None] = lambda: None
    targets: TeacherTargets | None = None
    initial_weights: Weights | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.labels_N) // self.config.batch_size)

    def exported(self, backbone: EdgeFace) -> EdgeFace:
        """The model to export: `backbone`, or its interpolation with the initial weights."""
        return (
            backbone
            if self.initial_weights is None
            else interpolated(self.initial_weights, backbone, self.config.interpolation)
        )
