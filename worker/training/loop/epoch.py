"""The epoch that is being trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.training.data.augment import draw
from worker.training.data.multi_scale import DrawnViews, draw_views
from worker.training.loop.context import RunContext
from worker.training.loop.optimizers import Optimizers

# Shape suffixes: N training faces; 4 draws a face.


@dataclass
class EpochState:
    """All that is random in an epoch is drawn at its start: the faces' order, and what augmentation does to the face
    at each place of it; and the `views`, None where the VLR images are shown. `step` optimizer steps are done;
    `loss_sum` and `correct` are sums over their faces of the loss and of those classified rightly. The learning rates
    are those at its start; `seconds` were spent training."""

    order_N: Tensor
    drawn_4N: Tensor
    loss_sum: Tensor
    correct: Tensor
    head_lr: float
    backbone_lr: float | None
    step: int = 0
    seconds: float = 0.0
    views: DrawnViews | None = None

    def to(self, context: RunContext) -> "EpochState":
        """The order beside the faces that it chooses, everything else on the device that trains."""
        places = {
            "order_N": context.faces_u8_NCHW.device,
            "drawn_4N": context.device,
            "loss_sum": context.device,
            "correct": context.device,
        }
        return EpochState(**{**vars(self), **{name: getattr(self, name).to(place) for name, place in places.items()}})

    def plain(self) -> dict[str, Any]:
        """Its fields, tensors on the CPU."""
        views = None if self.views is None else vars(self.views)
        fields = {**vars(self), "views": views}
        return {name: value.cpu() if isinstance(value, Tensor) else value for name, value in fields.items()}


def start_epoch(context: RunContext, generator: torch.Generator, optimization: Optimizers) -> EpochState:
    """A new epoch, drawn from `generator`."""
    head_lr, backbone_lr = optimization.rates
    order_N = torch.randperm(len(context.labels_N), generator=generator)
    batches = torch.split(order_N, context.config.batch_size)
    return EpochState(
        order_N=order_N,
        drawn_4N=torch.cat([draw(len(batch), generator) for batch in batches], dim=1),
        loss_sum=torch.zeros(()),
        correct=torch.zeros((), dtype=torch.int64),
        head_lr=head_lr,
        backbone_lr=backbone_lr,
        views=draw_views(context.config, len(order_N), generator) if is_multi_scale(context, backbone_lr) else None,
    ).to(context)


def is_multi_scale(context: RunContext, backbone_lr: float | None) -> bool:
    """Whether an epoch shows views: in stage 2, where the backbone learns, of a training with invented people."""
    return context.targets is not None and backbone_lr is not None


def restore_epoch(saved: Mapping[str, Any], context: RunContext, generator: torch.Generator) -> EpochState:
    """Back from `plain`. Raises KeyError, TypeError and the like for what that did not make.

    The first states drew for a batch before its step, and their `generator` stands after the steps done: here it then
    draws for the rest of the epoch, the numbers that it would have drawn.
    """
    if "drawn_4N" not in saved:
        batches = torch.split(saved["order_N"], context.config.batch_size)
        done, left = batches[: saved["step"]], batches[saved["step"] :]
        drawn = [torch.zeros(4, len(batch)) for batch in done] + [draw(len(batch), generator) for batch in left]
        saved = {**saved, "drawn_4N": torch.cat(drawn, dim=1)}
    views = saved.get("views")
    return EpochState(**{**saved, "views": None if views is None else DrawnViews(**views)}).to(context)
