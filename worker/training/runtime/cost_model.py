"""The cost model of a fine-tuning: how many steps, validations and files are left, times the cost of each.

The costs are in seconds, measured by the dry run and by the duration predictor. The progress bar begins with the costs
of phase_plan.py, by the constants of this module.
"""

from dataclasses import dataclass

from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.events import Stage
from app.finetune.ranges import NOTHING, Estimate

# The work per image, in forward passes, measured on 2 cores. DSR: 64 channels, 8 blocks, 16 to 160 px.
BICUBIC_WORK = 0.15
DSR_WORK = 10.0
FORWARD_WORK = 1.0
SYNTHESIS_WORK = 3.0
TRAINING_WORK = 3.0

_VALIDATE_OF_MEASURE = Estimate(0.3, 0.6, 1.0)
"""The metrics of an epoch are some of those of the recognition before and after the training."""

_WAITED_FOR = Estimate(0.3, 0.5, 1.0)
"""The share of the time to write an epoch's files in which the training waits: for the serialisation, and not for the
disk."""


EXPORT_SECONDS = 2.0
"""To export the backbone as an ONNX file and compare it, on 2 cores; most of it is the imports of the exporter."""

_EXPORT_LOADS = 2.0
"""The share of it that grows with the backbone, in loads of the weights."""


@dataclass(frozen=True)
class Position:
    """`epoch` epochs of `stage` are finished, and `step` optimizer steps of the next."""

    stage: Stage
    epoch: int
    step: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of the weights. AdamW keeps two moments of the same size for each weight that it updates.

    `objectives` are all weights of both objectives; `stage1` and `stage2` those that each stage updates, without the
    backbone; `classifier` those of a checkpoint.
    """

    backbone: int
    objectives: int
    stage1: int
    stage2: int
    classifier: int

    @property
    def first_state(self) -> int:
        """Before the first step, when AdamW has no moments."""
        return self.backbone + self.objectives

    @property
    def stage1_state(self) -> int:
        return self.backbone + self.objectives + 2 * self.stage1

    @property
    def stage2_state(self) -> int:
        return 3 * self.backbone + self.objectives + 2 * self.stage2

    @property
    def checkpoint(self) -> int:
        """Both files of a best epoch."""
        return 2 * self.backbone + self.classifier


@dataclass(frozen=True)
class EvaluationCosts:
    """Of the evaluation after the training: `seconds` to decode, enlarge and compare, and `embeds`, the number of
    embedded faces divided by the number of val's images."""

    seconds: float
    embeds: float


@dataclass(frozen=True)
class Costs:
    """The cost of each part of a run, in seconds.

    Of an optimizer step on a whole batch in each stage; of loading the weights, embedding val once, the metrics of an
    epoch and the recognition before and after; of the evaluation after the training; and of writing one byte.
    `batches` is the number of whole batches that an epoch costs; a state is saved at the end of each epoch and every
    `save_every_seconds`.
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
    """The cost of the rest of a run that does not stop early. `after` is the recognition of the best checkpoint and the
    evaluation."""

    stage1: Estimate
    stage2: Estimate
    after: Estimate
    stage2_epoch: float

    @property
    def total(self) -> Estimate:
        return self.stage1 + self.stage2 + self.after


def work_of_a_face(stage: Stage, config: FinetuneConfig) -> float:
    """Forward passes per face of an epoch, with the enlargement of views."""
    if stage == 1:
        return FORWARD_WORK
    if not config.synthetic_identities:
        return TRAINING_WORK
    reduced = 1 - config.vlr_share - config.hr_share
    return TRAINING_WORK + reduced * (BICUBIC_WORK if config.dsr == BICUBIC else DSR_WORK)


def validate_of(measure: float) -> Estimate:
    """The cost of an epoch's metrics, from that of the recognition before the training."""
    return _VALIDATE_OF_MEASURE.times(measure)


def batches_of(images: int, batch_size: int, device: str) -> float:
    """The number of whole batches that an epoch costs. On a GPU a smaller last batch costs as much as a whole one."""
    batch_size = min(batch_size, images)
    return float(-(-images // batch_size)) if device == "cuda" else images / batch_size


def parts_left(config: FinetuneConfig, position: Position, costs: Costs) -> Parts:
    """The cost from `position` to the end."""
    write, writer = Estimate.about(costs.write_byte), _WAITED_FOR.times(costs.write_byte)
    epochs1, done1 = config.stage1_epochs, position.epoch if position.stage == 1 else config.stage1_epochs
    stage1 = NOTHING
    if position.stage == 1:
        stage1 = (
            costs.stage1_step.times(max(0.0, (epochs1 - done1) * costs.batches - position.step))
            + costs.validate.times(validations_left(done1, epochs1, config.val_interval))
            + writer.times(costs.sizes.stage1_state * (epochs1 - done1))
            + write.times(costs.sizes.stage1_state * _saves(costs, costs.stage1_step))
        )
    epochs2, done2 = config.stage2_epochs, position.epoch if position.stage == 2 else 0
    step2 = position.step if position.stage == 2 else 0
    validations = validations_left(done2, epochs2, config.val_interval)
    state = writer.times(costs.sizes.stage2_state)
    state += write.times(costs.sizes.stage2_state * _saves(costs, costs.stage2_step))
    validation = costs.embed_val + costs.validate
    checkpoint = writer.times(costs.sizes.checkpoint)
    # At least one validation is the best so far; how many are is unknown before the training.
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
    after += Estimate.about(EXPORT_SECONDS + _EXPORT_LOADS * costs.load)
    return Parts(stage1, stage2, after, stage2_epoch)


def validations_left(done: int, epochs: int, interval: int) -> int:
    """The validations after `done` of a stage's epochs: every `interval` epochs and after the last."""
    return -(-epochs // interval) - done // interval if done < epochs else 0


def _saves(costs: Costs, step: Estimate) -> int:
    """States saved inside an epoch, besides the one at its end."""
    return int(costs.batches * step.likely / costs.save_every_seconds) if costs.save_every_seconds > 0 else 0
