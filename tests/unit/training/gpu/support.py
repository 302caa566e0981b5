"""Trainings on a pretended GPU beside the same on the CPU."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.events import EpochFinished, TrainingEvent
from tests.unit.training.support import tiny_config
from worker.training.finetune import finetune
from worker.training.models import depthwise
from worker.training.runtime.control import Control
from worker.training.storage.paths import TrainingFiles

_Event = TypeVar("_Event")

RATES: dict[str, object] = {"backbone_lr": 1e-3, "head_lr": 1e-2, "head_lr_stage2": 1e-2}
"""Large, so that one wrong number shows in the losses."""


def train(files: TrainingFiles, device: str, config: Mapping[str, object], slot: int = 0) -> list[TrainingEvent]:
    """The events of a training on `device`, whose duration is not predicted: that takes steps of its own."""
    events: list[TrainingEvent] = []
    control = Control(gpu=slot, predict_duration=False)
    finetune(tiny_config(**{**RATES, **config}, device=device), files, events.append, control)
    return events


def losses(events: list[TrainingEvent]) -> list[tuple[float | None, ...]]:
    """Everything that each epoch measured."""
    return [
        (each.train_loss, each.train_accuracy, each.val_loss, each.val_accuracy, each.val_auc, each.val_d_prime)
        for each in of_type(events, EpochFinished)
    ]


def of_type(events: list[TrainingEvent], kind: type[_Event]) -> list[_Event]:
    return [event for event in events if isinstance(event, kind)]


_conv2d = F.conv2d


def _pointwise_by_linear(
    x_BCHW: Tensor, weight: Tensor, bias: Tensor | None = None, *others: Any, **named: Any
) -> Tensor:
    if others or named:
        return _conv2d(x_BCHW, weight, bias, *others, **named)
    return F.linear(x_BCHW.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)


@contextlib.contextmanager
def computed_as_on_a_gpu() -> Iterator[None]:
    """The CPU computes by the operations that the network has for a GPU, in one thread: then both give the same bits.

    On a CPU the network has products at every position of a map as convolutions (which are the only ones with three
    arguments), and computes the weight's gradient of a depthwise convolution by itself.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with mock.patch.object(F, "conv2d", _pointwise_by_linear), mock.patch.object(depthwise, "_LARGEST_MAP", 0):
            yield
    finally:
        torch.set_num_threads(threads)
