"""What the parts of a training cost, and so how long the rest of it takes."""

from dataclasses import dataclass

import torch
from torch import nn

from app.finetune.architectures import EMBEDDING_SIZE
from app.finetune.config import FinetuneConfig
from app.finetune.events import Stage
from app.finetune.ranges import NOTHING, Estimate

_VALIDATE_OF_MEASURE = Estimate(0.3, 0.6, 1.0)
"""An epoch's metrics are some of those of the measurement before and after."""

_WAITED_FOR = Estimate(0.3, 0.5, 1.0)
"""Of what writing an epoch's files takes: they are serialised while the training waits, and then written beside it."""


@dataclass(frozen=True)
class Position:
    """`epoch` epochs of `stage` are finished, and `step` optimizer steps of the next."""

    stage: Stage
    epoch: int
    step: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of the weights: of the backbone, of the ArcFace head, and of the people who learn in its place in stage 2,
    0 without a teacher. AdamW keeps two moments of what it moves."""

    backbone: int
    head: int
    people: int = 0

    @property
    def stage1_state(self) -> int:
        return self.backbone + 3 * self.head + self.people

    @property
    def stage2_state(self) -> int:
        return 3 * self.backbone + (3 * self.people + self.head if self.people else 3 * self.head)

    @property
    def checkpoint(self) -> int:
        """Both files of a best epoch."""
        return 2 * self.backbone + self.head

    @classmethod
    def of(cls, backbone: nn.Module, head: nn.Module, people: int) -> "Sizes":
        """`people` is how many learn."""
        of_backbone, of_head = (
            sum(tensor.nbytes for tensor in each.state_dict().values()) for each in (backbone, head)
        )
        return cls(of_backbone, of_head, people * EMBEDDING_SIZE * torch.float32.itemsize)


@dataclass(frozen=True)
class EvaluationCosts:
    """`seconds` of decoding, enlarging and comparing; `embeds`: how many times as many faces are embedded as val has
    images."""

    seconds: float
    embeds: float


@dataclass(frozen=True)
class Costs:
    """Seconds as measured: of an optimizer step on a whole batch in each stage; of loading the weights, embedding val
    once, an epoch's metrics of that and the metrics before and after; of the evaluation after the training; and of
    writing a byte of a state or checkpoint.

    `batches` are those of an epoch, a broken one as the part that it costs; a state is saved at each epoch's end and
    every `save_every_seconds`.
    """

    stage1_step: Estimate
    stage2_step: Estimate
    load: float
    embed_val: Estimate
    validate: Estimate
    measure: float
    evaluation: EvaluationCosts
    write_byte: float
    sizes: Sizes
    batches: float
    save_every_seconds: float


@dataclass(frozen=True)
class Parts:
    """Seconds of what is left of a training, where it does not stop early. `after` is the measurement of the best
    checkpoint and the evaluation."""

    stage1: Estimate
    stage2: Estimate
    after: Estimate
    stage2_epoch: float

    @property
    def total(self) -> Estimate:
        return self.stage1 + self.stage2 + self.after


def validate_of(measure: float) -> Estimate:
    """What an epoch's metrics take, where only those before the training were measured."""
    return _VALIDATE_OF_MEASURE.times(measure)


def batches_of(images: int, batch_size: int, device: str) -> float:
    """How many whole batches an epoch costs. On a GPU a broken batch takes about as long as a whole one."""
    batch_size = min(batch_size, images)
    return float(-(-images // batch_size)) if device == "cuda" else images / batch_size


def parts_left(config: FinetuneConfig, position: Position, costs: Costs) -> Parts:
    """From `position` to the end."""
    write, writer = Estimate.about(costs.write_byte), _WAITED_FOR.times(costs.write_byte)
    epochs1, done1 = config.stage1_epochs, position.epoch if position.stage == 1 else config.stage1_epochs
    stage1 = NOTHING
    if position.stage == 1:
        stage1 = (
            costs.stage1_step.times(max(0.0, (epochs1 - done1) * costs.batches - position.step))
            + costs.validate.times(_validations(done1, epochs1, config.val_interval))
            + writer.times(costs.sizes.stage1_state * (epochs1 - done1))
            + write.times(costs.sizes.stage1_state * _saves(costs, costs.stage1_step))
        )
    epochs2, done2 = config.stage2_epochs, position.epoch if position.stage == 2 else 0
    step2 = position.step if position.stage == 2 else 0
    validations = _validations(done2, epochs2, config.val_interval)
    state = writer.times(costs.sizes.stage2_state)
    state += write.times(costs.sizes.stage2_state * _saves(costs, costs.stage2_step))
    validation = costs.embed_val + costs.validate
    checkpoint = writer.times(costs.sizes.checkpoint)
    # How many validations are the best so far is what the training is to find out: one at least.
    checkpoints = Estimate(
        checkpoint.low * min(1, validations), checkpoint.likely * -(-validations // 2), checkpoint.high * validations
    )
    stage2 = (
        costs.stage2_step.times(max(0.0, (epochs2 - done2) * costs.batches - step2))
        + validation.times(validations)
        + state.times(epochs2 - done2)
        + checkpoints
    )
    left = max(1, epochs2 - done2)
    stage2_epoch = (
        costs.batches * costs.stage2_step.likely
        + state.likely
        + (validation.times(validations).likely + checkpoints.likely) / left
    )
    evaluation = costs.evaluation
    after = Estimate.about(3 * costs.load + costs.measure + evaluation.seconds)
    after += costs.embed_val.times(1 + evaluation.embeds)
    return Parts(stage1, stage2, after, stage2_epoch)


def _validations(done: int, epochs: int, interval: int) -> int:
    """Every `interval` epochs and after the last."""
    return -(-epochs // interval) - done // interval if done < epochs else 0


def _saves(costs: Costs, step: Estimate) -> int:
    """States saved inside an epoch, besides the one at its end."""
    return int(costs.batches * step.likely / costs.save_every_seconds) if costs.save_every_seconds > 0 else 0
