"""The mutable state of a run. train_state_file.py saves and restores it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.finetune.events import Checkpoint, EpochFinished, Stage
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.graphs import GraphedForwardBackward
from worker.training.loop.optimizers import Optimizers, backbone_and_head, head_alone
from worker.training.loop.step import NotFinite
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.objective import Objective
from worker.training.runtime.cost_model import Sizes
from worker.training.runtime.device import FLOAT32, Precision
from worker.training.validation.measure import Measurement
from worker.training.validation.selection import Best


@dataclass
class TrainState:
    """Everything that changes while a run trains.

    `objectives` are those of the stages, whose parameters train; `classifier`, of the classes of the train set,
    classifies val and is saved with the checkpoints. `epoch` epochs of `stage` are finished; `epoch_state` belongs to
    the next one, None before its first step. `checkpoint` is the best epoch's. `learning_rate_scale` is below 1 after
    a rollback. With `fp16_overflowed` the run continues in float32. `graphs` are those of the optimizer's parameters.
    """

    backbone: EdgeFace
    objectives: Mapping[Stage, Objective]
    classifier: CosineClassifier
    generator: torch.Generator
    before: Measurement
    best: Best
    micro_batch_size: int
    stage: Stage
    optimizers: Optimizers
    checkpoint: Checkpoint | None = None
    epoch: int = 0
    steps_done: int = 0
    epoch_state: EpochState | None = None
    learning_rate_scale: float = 1.0
    fp16_overflowed: bool = False
    collapse_warned: bool = False
    stages_started: set[Stage] = field(default_factory=set)
    epochs_reported: list[EpochFinished] = field(default_factory=list)
    graphs: GraphedForwardBackward | None = None

    @property
    def step(self) -> int:
        """Optimizer steps done in the current epoch."""
        return 0 if self.epoch_state is None else self.epoch_state.step

    @property
    def sizes(self) -> Sizes:
        """Bytes of the weights."""
        stage1, stage2 = _bytes_of(self.objectives[1].parameters()), _bytes_of(self.objectives[2].parameters())
        return Sizes(
            backbone=_bytes_of(self.backbone.state_dict().values()),
            objectives=stage1 if self.objectives[1] is self.objectives[2] else stage1 + stage2,
            stage1=stage1,
            stage2=stage2,
            classifier=_bytes_of(self.classifier.parameters()),
        )

    def precision(self, context: RunContext) -> Precision:
        """That of the context, until fp16 overflows."""
        return FLOAT32 if self.fp16_overflowed and context.precision.name == "fp16" else context.precision

    def start_stage(self, context: RunContext, stage: Stage) -> None:
        """Enter `stage` before its first epoch."""
        self.stage, self.epoch, self.epoch_state = stage, 0, None
        self.start_optimizers(context)

    def start_optimizers(self, context: RunContext) -> None:
        """Replace the optimizer by the stage's, as it is before its first step, and drop the graphs."""
        self.graphs = None
        self.optimizers = optimizers_of(
            self.stage,
            context,
            self.backbone,
            self.objectives[self.stage],
            scale=self.learning_rate_scale,
            scaled=self.precision(context).scaled,
        )

    def start_epoch(self, context: RunContext) -> EpochState:
        """The current epoch; a new one is drawn from `generator` where the last is finished."""
        if self.epoch_state is None:
            head_lr, backbone_lr = self.optimizers.rates
            faces = context.sources[self.stage].draw_epoch(self.generator)
            self.epoch_state = EpochState(faces, head_lr, backbone_lr).to(context.device)
        return self.epoch_state

    def count_skipped(self) -> None:
        """Count the skipped steps of the current epoch. Raises NotFinite where gradients overflow fp16 although the
        loss is not scaled up: no scale cures that. Waits for the device, if gradients are scaled."""
        skipped = self.optimizers.count_skipped()
        if self.epoch_state is not None:
            self.epoch_state.skipped += skipped
        if skipped and self.optimizers.scaler.factor < 1:
            raise NotFinite

    def refuse_not_finite(self) -> None:
        """As `count_skipped`; and raises NotFinite where a weight, or the loss of any step of the current epoch, is NaN
        or infinity, and EnlargementNotFinite where a pixel of its faces was."""
        self.count_skipped()
        numbers: list[Tensor] = [*self.backbone.parameters()]
        for objective in self.objectives.values():
            numbers += objective.parameters()
        if self.epoch_state is not None:
            numbers.append(self.epoch_state.loss_sum)
            self.epoch_state.faces.refuse_not_finite()
        if not torch.stack([number.isfinite().all() for number in numbers]).all():
            raise NotFinite


def begin(
    context: RunContext,
    backbone: EdgeFace,
    objectives: Mapping[Stage, Objective],
    classifier: CosineClassifier,
    generator: torch.Generator,
    before: Measurement,
) -> TrainState:
    """The state of a run before its first step. `before` is the recognition of the initial weights."""
    config = context.config
    stage: Stage = 1 if config.stage1_epochs else 2
    return TrainState(
        backbone=backbone,
        objectives=objectives,
        classifier=classifier,
        generator=generator,
        before=before,
        best=Best(context.selection, keeps_last=config.keep == "last"),
        micro_batch_size=min(config.batch_size, context.images),
        stage=stage,
        optimizers=optimizers_of(
            stage, context, backbone, objectives[stage], scale=1.0, scaled=context.precision.scaled
        ),
    )


def optimizers_of(
    stage: Stage, context: RunContext, backbone: EdgeFace, objective: Objective, *, scale: float, scaled: bool
) -> Optimizers:
    """The optimizer of a stage before its first step. `scale` and `scaled` as in `head_alone`."""
    device, config = context.device.type, context.config
    if stage == 1:
        return head_alone(objective.parameters(), config, scale=scale, device=device, scaled=scaled)
    steps = config.stage2_epochs * context.steps_per_epoch
    return backbone_and_head(
        backbone, objective.parameters(), config, steps=steps, scale=scale, device=device, scaled=scaled
    )


def _bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
