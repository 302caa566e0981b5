"""A training tells how long it will take, from what its first steps took.

Stage 1's steps are timed as they are made. What stage 2's cost is found out on copies of the networks that are thrown
away, so that the training goes on as if nobody had asked.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from app.finetune.events import DurationPredicted
from app.finetune.ranges import NOTHING, Estimate
from worker.training.data.multi_scale import draw_views
from worker.training.estimation.cost_model import (
    Costs,
    EvaluationCosts,
    Position,
    Sizes,
    batches_of,
    parts_left,
    validate_of,
)
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.frozen_embeddings import batches_embedded_at_once, embeddings_of
from worker.training.loop.state import NotFinite, TrainState, optimizers_of
from worker.training.loop.step import train_step
from worker.training.runtime.out_of_memory import unless_out_of_memory
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import FORWARD_WORK, work_of_a_face
from worker.training.validation.selection import Best

_Result = TypeVar("_Result")

_FEWEST_STEPS = 4
_ENOUGH_SECONDS = 3.0
_PROBED_STEPS = 1

# For a training that was resumed before it told, and so does not measure these itself.
_WRITE_BYTE = 1e-8  # 100 MB/s
_MEASURE_OF_EMBED = 0.2


@dataclass
class _Followed:
    context: RunContext
    state: TrainState
    evaluation: Callable[[], EvaluationCosts]
    epoch: EpochState | None = None
    seconds: float = 0.0


class DurationPredictor:
    """Report `DurationPredicted` once, after an epoch or a few seconds of the first stage.

    It reports nothing unless `wanted`. Where trial steps of stage 2 do not fit the memory or end in NaN, it predicts
    after the first real steps of stage 2 instead.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._started = time.monotonic()
        self._taken: dict[str, float] = {}
        self._followed: _Followed | None = None
        self._steps: list[float] = []
        self._cannot_probe = False

    def timed(self, part: str, work: Callable[[], _Result]) -> _Result:
        """What `work` returns. Parts: `load` the backbone, `embed` val, `measure` it, `write` a state of stage 1 or of
        stage 2, whichever the training begins with."""
        started = time.monotonic()
        result = work()
        self._taken[part] = time.monotonic() - started
        return result

    def follow(self, context: RunContext, state: TrainState, evaluation: Callable[[], EvaluationCosts]) -> None:
        """Training begins, or goes on. `evaluation` finds out what the evaluation after it will take."""
        self._followed = _Followed(context, state, evaluation)

    def after_step(self) -> None:
        """Called after each step of the optimizer. Changes nothing that the training computes with."""
        if not self._wanted or (followed := self._followed) is None:
            return
        context, state, epoch_state = followed.context, followed.state, followed.state.epoch_state
        assert epoch_state is not None, "a step is one of a running epoch"  # noqa: S101
        if epoch_state is not followed.epoch:
            # One that was resumed has seconds of before.
            followed.epoch, followed.seconds = epoch_state, 0.0 if epoch_state.step == 1 else epoch_state.seconds
            if epoch_state.step != 1:
                return
        self._steps.append(epoch_state.seconds - followed.seconds)
        followed.seconds = epoch_state.seconds
        if not self._is_due(context, state, epoch_state):
            return
        if state.stage == 1 and self._cannot_probe:
            return
        costs = self._costs(followed)
        if costs is None:
            self._cannot_probe, self._steps = True, []
            return
        self._wanted = False
        position = Position(state.stage, state.epoch, epoch_state.step)
        parts = parts_left(context.config, position, costs)
        context.progress.expect_after(parts.after.likely)
        context.report(
            DurationPredicted(
                seconds_spent=time.monotonic() - self._started,
                seconds_left=parts.total,
                stage1_epochs=context.config.stage1_epochs,
                stage2_epochs=context.config.stage2_epochs,
                stage2_epoch_seconds=parts.stage2_epoch,
            )
        )

    def _is_due(self, context: RunContext, state: TrainState, epoch_state: EpochState) -> bool:
        epochs = context.config.stage1_epochs if state.stage == 1 else context.config.stage2_epochs
        last_of_epoch = epoch_state.step >= context.steps_per_epoch
        if last_of_epoch and state.epoch + 1 >= epochs:
            return True
        enough = len(self._steps) >= _FEWEST_STEPS
        # In stage 1 a step may embed for those after it, which then take less.
        even = state.stage == 2 or epoch_state.step % batches_embedded_at_once(context.config.batch_size) == 0
        return enough and (last_of_epoch or (even and sum(self._steps) >= _ENOUGH_SECONDS))

    def _costs(self, followed: _Followed) -> Costs | None:
        context, state = followed.context, followed.state
        if state.stage == 1:
            stage1_step = Estimate.about(sum(self._steps) / len(self._steps))
            if (probed := probe_stage2(context, state)) is None:
                return None
            stage2_step = Estimate.of(probed)
        else:
            stage1_step = NOTHING
            stage2_step = Estimate.of(self._steps[1:] or self._steps)
        sizes = Sizes.of(state.backbone, state.head, 0 if state.prototypes is None else len(state.prototypes))
        config, taken = context.config, self._taken
        embed = taken.get("embed")
        if embed is None:
            faces = len(context.val.probe_paths) + len(context.val.gallery_paths)
            face = stage2_step.likely / min(config.batch_size, len(context.labels_N))
            embed = faces * FORWARD_WORK / work_of_a_face(2, config) * face
        measure = taken.get("measure", _MEASURE_OF_EMBED * embed)
        first_state = sizes.stage1_state if config.stage1_epochs else sizes.backbone + sizes.head + sizes.people
        return Costs(
            stage1_step=stage1_step,
            stage2_step=stage2_step,
            load=taken.get("load", 0.0),
            embed_val=Estimate.about(embed),
            validate=validate_of(measure),
            measure=measure,
            evaluation=followed.evaluation(),
            write_byte=taken["write"] / first_state if "write" in taken else _WRITE_BYTE,
            sizes=sizes,
            batches=batches_of(len(context.labels_N), config.batch_size, context.device.type),
            save_every_seconds=context.control.save_every_seconds,
        )


@profiled("foretelling")
def probe_stage2(context: RunContext, state: TrainState) -> list[float] | None:
    """Seconds of some optimizer steps of stage 2 on whole batches, the first one left out.

    Made on copies of the networks with an optimizer and random numbers of their own. None where they do not fit the
    memory or end in NaN, or where the training is to stop.
    """
    seconds = []
    try:
        with torch.random.fork_rng([context.device] if context.device.type == "cuda" else []):
            copied = _copy_for_stage2(context, state)
            epoch_state = _epoch_of_one_batch(context)
            embeddings, batch = embeddings_of(context, copied, epoch_state), slice(0, len(epoch_state.order_N))
            for _ in range(1 + _PROBED_STEPS):
                if context.control.stop.is_set():
                    return None
                started = time.monotonic()
                if unless_out_of_memory(partial(train_step, context, copied, epoch_state, embeddings, batch)) is None:
                    return None
                epoch_state.loss_sum.item()  # waits for the device
                seconds.append(time.monotonic() - started)
    except NotFinite:
        return None
    return seconds[1:]


def _copy_for_stage2(context: RunContext, state: TrainState) -> TrainState:
    backbone, head, prototypes = copy.deepcopy((state.backbone, state.head, state.prototypes))
    backbone.requires_grad_(True).train()
    return TrainState(
        backbone=backbone,
        head=head,
        generator=torch.Generator().manual_seed(0),
        before=state.before,
        best=Best(context.selection),
        micro_batch_size=state.micro_batch_size,
        stage=2,
        optimization=optimizers_of(2, context, backbone, head, prototypes, scale=state.learning_rate_scale),
        prototypes=prototypes,
    )


def _epoch_of_one_batch(context: RunContext) -> EpochState:
    config, images = context.config, min(context.config.batch_size, len(context.labels_N))
    return EpochState(
        order_N=torch.arange(images),
        drawn_4N=torch.rand(4, images),
        loss_sum=torch.zeros(()),
        correct=torch.zeros((), dtype=torch.int64),
        head_lr=0.0,
        backbone_lr=0.0,
        views=draw_views(config, images, torch.Generator().manual_seed(0)) if config.synthetic_identities else None,
    ).to(context)
