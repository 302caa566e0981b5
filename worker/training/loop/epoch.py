"""The state of the current epoch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from worker.training.data.loader import EpochFaces, FaceSource
from worker.training.objectives.objective import Loss


@dataclass
class EpochState:
    """`step` optimizer steps of the epoch are done, on its first `faces`.

    `loss_sum` and `correct` are sums over the faces trained on: of the loss, and of those classified correctly. The
    learning rates are those at the start of the epoch, `backbone_lr` None where the backbone is frozen. `seconds` is
    the time spent on the steps.
    """

    faces: EpochFaces
    head_lr: float
    backbone_lr: float | None
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    step: int = 0
    seconds: float = 0.0

    def to(self, device: torch.device) -> "EpochState":
        """The same with its sums on `device`."""
        self.loss_sum, self.correct = self.loss_sum.to(device), self.correct.to(device)
        return self

    def add(self, losses: Iterable[Loss]) -> None:
        """Add the losses of microbatches, in order."""
        for loss in losses:
            self.loss_sum += loss.loss
            self.correct += loss.correct

    def state_dict(self) -> dict[str, Any]:
        """Plain values, and tensors on the CPU."""
        sums = {"loss_sum": self.loss_sum.cpu(), "correct": self.correct.cpu()}
        rates = {"head_lr": self.head_lr, "backbone_lr": self.backbone_lr}
        return {**self.faces.state_dict(), **sums, **rates, "step": self.step, "seconds": self.seconds}


def load_epoch(
    state: Mapping[str, Any], source: FaceSource, generator: torch.Generator, device: torch.device
) -> EpochState:
    """The epoch whose `state_dict` is `state`, with faces from `source`. `generator` is the one that drew them.

    Raises KeyError where something is missing.
    """
    return EpochState(
        faces=source.load_epoch(state, generator),
        head_lr=state["head_lr"],
        backbone_lr=state["backbone_lr"],
        loss_sum=state["loss_sum"],
        correct=state["correct"],
        step=state["step"],
        seconds=state["seconds"],
    ).to(device)
