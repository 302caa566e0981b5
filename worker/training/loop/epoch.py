"""The state of the current epoch."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from worker.training.data.loader import EpochFaces, FaceSource
from worker.training.objectives.objective import Loss
from worker.training.runtime.gpu_wait import wait_for_gpu


@dataclass
class EpochState:
    """`step` optimizer steps of the epoch are done, on its first `faces`.

    `loss_sum` and `correct` are sums over the faces trained on: of the loss, and of those classified correctly. The
    learning rates are those at the start of the epoch, `backbone_lr` None where the backbone is frozen. `seconds` is
    the time spent on the steps, on a GPU up to the last `wait_for_gpu`. Of these steps, `skipped` changed no weight, as
    far as they are counted.
    """

    faces: EpochFaces
    head_lr: float
    backbone_lr: float | None
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0

    def to(self, device: torch.device) -> "EpochState":
        """The same with its sums on `device`."""
        self.loss_sum, self.correct = self.loss_sum.to(device), self.correct.to(device)
        return self

    def add(self, losses: Iterable[Loss]) -> None:
        """Add the losses of microbatches, in order."""
        for loss in losses:
            self.loss_sum += loss.loss
            self.correct += loss.correct

    def wait_for_gpu(self) -> None:
        """Add to `seconds` the time until the GPU has computed the steps, which it does after they are launched."""
        started = time.monotonic()
        wait_for_gpu()
        self.seconds += time.monotonic() - started

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        sums = {"loss_sum": self.loss_sum, "correct": self.correct}
        rates = {"head_lr": self.head_lr, "backbone_lr": self.backbone_lr}
        counts = {"step": self.step, "seconds": self.seconds, "skipped": self.skipped}
        return {**self.faces.state_dict(), **sums, **rates, **counts}


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
        skipped=state.get("skipped", 0),  # absent in states of version 0.2 and before
    ).to(device)
