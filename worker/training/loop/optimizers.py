"""The optimizer of each stage: AdamW, the loss scaler that fp16 needs, and the schedule of stage 2."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from app.finetune.config import FinetuneConfig
from worker.training.loop.loss_scaler import LossScaler
from worker.training.models.layout import keep_moments_laid_out
from worker.training.runtime.profiling import profiled


@dataclass
class Optimizers:
    """AdamW with what belongs to it. `schedule` is None where the learning rates are constant.

    The last parameter group is the objective's; in stage 2 one before it is the backbone's. The schedule is `ahead` by
    so many steps, which it counted and the scaler skipped.
    """

    optimizer: AdamW
    scaler: LossScaler
    schedule: CosineAnnealingLR | LambdaLR | None
    ahead: int = 0

    def __post_init__(self) -> None:
        keep_moments_laid_out(self.optimizer)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that the optimizer updates."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    @property
    def rates(self) -> tuple[float, float | None]:
        """The learning rates of the objective and of the backbone, None where the backbone is frozen."""
        *backbone_lr, head_lr = (float(group["lr"]) for group in self.optimizer.param_groups)
        return head_lr, backbone_lr[0] if backbone_lr else None

    def zero_grad(self) -> None:
        """Before the gradients of a batch are added."""
        self.optimizer.zero_grad()

    def step(self) -> None:
        """Update the parameters, then the loss scale and the learning rates. These stand still where the schedule is
        ahead."""
        with profiled("optimizer"):
            self.scaler.step(self.optimizer)
        if self.ahead:
            self.ahead -= 1
        elif self.schedule is not None:
            self.schedule.step()

    def count_skipped(self) -> int:
        """The number of steps skipped since the last call; the next steps give the schedule's steps back. Waits for the
        device, if gradients are scaled."""
        skipped = self.scaler.take_skipped()
        self.ahead += skipped
        return skipped

    def scale_rates(self, factor: float) -> None:
        """Multiply all learning rates by `factor`, from the next step to the last."""
        for group in self.optimizer.param_groups:
            group["lr"] *= factor
            if self.schedule is not None:
                group["initial_lr"] *= factor
        if self.schedule is not None:
            self.schedule.base_lrs = [rate * factor for rate in self.schedule.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ahead": self.ahead,
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.ahead = state.get("ahead", 0)  # absent in states of version 0.2 and before
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])


def head_alone(
    head: Iterable[nn.Parameter], config: FinetuneConfig, *, scale: float, device: str, scaled: bool
) -> Optimizers:
    """Stage 1: a constant head_lr. `scale` multiplies the learning rates; `scaled` turns the loss scaler on."""
    optimizer = AdamW(head, lr=scale * config.head_lr, weight_decay=config.weight_decay, fused=True)
    return Optimizers(optimizer, LossScaler(device, enabled=scaled), None)


def backbone_and_head(
    backbone: nn.Module,
    head: Iterable[nn.Parameter],
    config: FinetuneConfig,
    *,
    steps: int,
    scale: float,
    device: str,
    scaled: bool,
) -> Optimizers:
    """Stage 2: `backbone_lr` and `head_lr_stage2`, both along a cosine to zero at the last of `steps`, after a linear
    rise from zero where the config has a warm-up. `scale` and `scaled` as in `head_alone`."""
    optimizer = AdamW(
        [
            {"params": backbone.parameters(), "lr": scale * config.backbone_lr},
            {"params": head, "lr": scale * config.head_lr_stage2},
        ],
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = (
        LambdaLR(optimizer, lambda step: _warmed_up(step, config.warmup * steps) * _along_cosine(step, steps))
        if config.warmup
        else CosineAnnealingLR(optimizer, T_max=steps)
    )
    return Optimizers(optimizer, LossScaler(device, enabled=scaled), schedule)


def _warmed_up(step: int, steps: float) -> float:
    return min(1.0, (step + 1) / max(1.0, steps))


def _along_cosine(step: int, steps: int) -> float:
    return (1 + math.cos(math.pi * step / steps)) / 2
