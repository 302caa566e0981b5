"""All of a training that changes while it trains: in memory, and as a file that a later training goes on from."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from app.finetune.events import CheckpointWritten, EpochFinished, Stage
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.optimizers import Optimizers, backbone_and_head, head_alone
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.arcface import ArcFace
from worker.training.validation.measure import Measurement
from worker.training.validation.selection import Best


class NotFinite(Exception):
    """The loss or a weight is NaN or infinity. Caught in recovery.py."""


@dataclass
class TrainState:
    """Everything that changes while a run trains.

    `epoch` epochs of `stage` are finished; `epoch_state` belongs to the next one, None before its first step.
    `checkpoint` is the best epoch's. `prototypes` [P, 512], one per identity, train in place of the head where there
    are teacher targets; else None. `learning_rate_scale` is below 1 after a rollback.
    """

    backbone: EdgeFace
    head: ArcFace
    generator: torch.Generator
    before: Measurement
    best: Best
    micro_batch_size: int
    stage: Stage
    optimization: Optimizers
    prototypes: nn.Parameter | None = None
    checkpoint: CheckpointWritten | None = None
    epoch: int = 0
    steps_done: int = 0
    epoch_state: EpochState | None = None
    learning_rate_scale: float = 1.0
    collapse_warned: bool = False
    stages_started: set[Stage] = field(default_factory=set)
    epochs_reported: list[EpochFinished] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Optimizer steps done in the running epoch."""
        return 0 if self.epoch_state is None else self.epoch_state.step

    def start_optimizer(self, context: RunContext) -> None:
        """The stage's optimizer, before its first step."""
        self.optimization = optimizers_of(
            self.stage, context, self.backbone, self.head, self.prototypes, scale=self.learning_rate_scale
        )

    def refuse_not_finite(self) -> None:
        """Raises NotFinite where a weight, or the loss of any step of the running epoch, is NaN or infinity."""
        numbers: list[Tensor] = [*self.backbone.parameters(), *self.head.parameters()]
        if self.prototypes is not None:
            numbers.append(self.prototypes)
        if self.epoch_state is not None:
            numbers.append(self.epoch_state.loss_sum)
        if not torch.stack([number.isfinite().all() for number in numbers]).all():
            raise NotFinite


def begin(
    context: RunContext, backbone: EdgeFace, head: ArcFace, generator: torch.Generator, before: Measurement
) -> TrainState:
    """A training before its first step."""
    config = context.config
    stage: Stage = 1 if config.stage1_epochs else 2
    prototypes = None
    if context.targets is not None:
        prototypes = nn.Parameter(context.targets.prototypes_PD.clone())
        if stage == 2:  # The real ones are the head, in the same memory.
            head.weight.data = prototypes.data[context.targets.invented_people :]
    return TrainState(
        backbone=backbone,
        head=head,
        generator=generator,
        before=before,
        best=Best(context.selection, keeps_last=config.keep == "last"),
        micro_batch_size=min(config.batch_size, len(context.labels_N)),
        stage=stage,
        optimization=optimizers_of(stage, context, backbone, head, prototypes, scale=1.0),
        prototypes=prototypes,
    )


def optimizers_of(
    stage: Stage,
    context: RunContext,
    backbone: EdgeFace,
    head: ArcFace,
    prototypes: nn.Parameter | None,
    *,
    scale: float,
) -> Optimizers:
    """A stage's optimizer before its first step. In stage 2 the head rests where there are `prototypes`."""
    device, scaled, config = context.device.type, context.precision.scaled, context.config
    if stage == 1:
        return head_alone(head, config, scale=scale, device=device, scaled=scaled)
    steps = config.stage2_epochs * context.steps_per_epoch
    classes = head.parameters() if prototypes is None else [prototypes]
    return backbone_and_head(backbone, classes, config, steps=steps, scale=scale, device=device, scaled=scaled)
