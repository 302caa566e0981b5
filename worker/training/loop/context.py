"""What stays the same from the first step of a training to the last."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import Selection
from app.finetune.events import Report
from worker.training.checkpoints.weight_interpolation import Weights, interpolated
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.teacher import Teaching
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import ONE_LANE, Lanes
from worker.training.runtime.device import Precision
from worker.training.runtime.progress import Progress
from worker.training.validation.validate import ValFaces

# Shape suffixes: N training faces, C = 3 channels (RGB), H = W = 112; _u8 is uint8 in 0..255.


@dataclass(frozen=True)
class Course:
    """What is learned from and judged by, on which device, and who is told and who may stop it.

    `faces_u8_NCHW` may lie elsewhere than on `device`, even on disk; `labels_N` lie beside them. `after_step` is called
    after each step of the optimizer. `teaching` is for stage 2, None where that is by ArcFace. `given` are the weights
    of the backbone before the first step, None where the trained ones are handed out as they are.
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
    lanes: Lanes = ONE_LANE
    after_step: Callable[[], None] = lambda: None
    teaching: Teaching | None = None
    given: Weights | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.labels_N) // self.config.batch_size)

    def handed_out(self, backbone: EdgeFace) -> EdgeFace:
        """What a user gets of a training whose `backbone` it is."""
        return backbone if self.given is None else interpolated(self.given, backbone, self.config.interpolation)
