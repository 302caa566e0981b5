"""Predict the duration of a run from its first steps.

Stage 1's steps are timed as the run makes them. Stage 2's are timed on copies of the networks that are thrown away, so
that the run computes the same with and without a prediction.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from app.finetune.events import DurationPredicted
from app.finetune.ranges import NOTHING, Estimate
from app.finetune.training_errors import OutOfMemory
from worker.training.data.loader import Loader, batches_made_at_once
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.frozen_embeddings import batches_embedded_at_once
from worker.training.loop.state import TrainState, optimizers_of
from worker.training.loop.step import NotFinite, StepDidNotFit
from worker.training.loop.train_epoch import step_of
from worker.training.runtime.cost_model import (
    FORWARD_WORK,
    Costs,
    EvaluationCosts,
    Position,
    batches_of,
    parts_left,
    validate_of,
    work_of_a_face,
)
from worker.training.runtime.out_of_memory import out_of_memory_as, release_memory
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.runtime.profiling import profiled
from worker.training.validation.selection import Best

_FEWEST_STEPS = 4
_ENOUGH_SECONDS = 3.0
_TRIAL_STEPS = 1

# For a run that was resumed before its prediction, and has not timed these itself.
_WRITE_BYTE = 1e-8  # 100 MB/s
_MEASURE_OF_EMBED = 0.2


class DurationPredictor:
    """Report `DurationPredicted` once, after an epoch or a few seconds of the first stage that the run trains.

    `timer` has the phases that the run did: `load` the backbone, `embed` val, `measure` its recognition, `write` the
    first state. `evaluation` measures the cost of the evaluation after the training. Where trial steps of stage 2 do
    not fit the memory or end in NaN, the prediction follows the first real steps of stage 2 instead.
    """

    def __init__(
        self, context: RunContext, state: TrainState, timer: PhaseTimer, evaluation: Callable[[], EvaluationCosts]
    ) -> None:
        self._context = context
        self._state = state
        self._timer = timer
        self._evaluation = evaluation
        self._epoch: EpochState | None = None
        self._epoch_seconds = 0.0
        self._steps: list[float] = []
        self._trial_failed = False
        self._reported = False

    def after_step(self) -> None:
        """Listen to an optimizer step. Changes nothing that the run computes with."""
        context, state, epoch = self._context, self._state, self._state.epoch_state
        if self._reported or epoch is None:
            return
        if epoch is not self._epoch:
            # A resumed epoch has seconds of before.
            self._epoch, self._epoch_seconds = epoch, 0.0 if epoch.step == 1 else epoch.seconds
            if epoch.step != 1:
                return
        if len(self._steps) + 1 == self._batches_at_once(epoch):
            epoch.wait_for_gpu()  # the first steps warm up: their time is their own
        self._steps.append(self._seconds_since(epoch))
        if not self._is_due(epoch) or (state.stage == 1 and self._trial_failed):
            return
        epoch.wait_for_gpu()
        self._steps[-1] += self._seconds_since(epoch)
        costs = self._costs(epoch)
        if costs is None:
            self._trial_failed, self._steps = True, []
            return
        self._reported = True
        parts = parts_left(context.config, Position(state.stage, state.epoch, epoch.step), costs)
        if state.stage == 1:
            context.progress.expect("stage_1", parts.stage1.likely)
        context.progress.expect("stage_2", parts.stage2.likely)
        context.progress.expect("evaluating", parts.after.likely)
        context.report(
            DurationPredicted(
                seconds_spent=self._timer.elapsed,
                seconds_left=parts.total,
                stage1_epochs=context.config.stage1_epochs,
                stage2_epochs=context.config.stage2_epochs,
                stage2_epoch_seconds=parts.stage2_epoch,
                can_stop_early=context.config.can_stop_early,
            )
        )

    def _seconds_since(self, epoch: EpochState) -> float:
        """Seconds of the epoch's steps since the last call."""
        seconds, self._epoch_seconds = epoch.seconds - self._epoch_seconds, epoch.seconds
        return seconds

    def _is_due(self, epoch: EpochState) -> bool:
        context, state = self._context, self._state
        last_of_epoch = epoch.step >= context.steps_per_epoch
        if last_of_epoch and state.epoch + 1 >= context.epochs(state.stage):
            return True
        enough = len(self._steps) >= _FEWEST_STEPS
        even = epoch.step % self._batches_at_once(epoch) == 0
        return enough and (last_of_epoch or (even and sum(self._steps) >= _ENOUGH_SECONDS))

    def _batches_at_once(self, epoch: EpochState) -> int:
        """A step may embed faces or make views for those after it too, which then take less."""
        batch_size = self._context.config.batch_size
        if self._state.stage == 1:
            return batches_embedded_at_once(batch_size)
        return batches_made_at_once(epoch.faces, batch_size)

    def _stage2_step(self, epoch: EpochState) -> Estimate:
        """By the means over the steps that share what one of them makes, without the first, which warm up."""
        at_once = self._batches_at_once(epoch)
        if self._context.device.type == "cuda":
            # A GPU computes a step after its reading: only the sum of the readings counts it.
            steps = self._steps[at_once:] or self._steps
            return Estimate.about(sum(steps) / len(steps))
        together = [self._steps[first : first + at_once] for first in range(0, len(self._steps), at_once)]
        means = [sum(steps) / len(steps) for steps in together]
        return Estimate.of(means[1:] or means)

    def _costs(self, epoch: EpochState) -> Costs | None:
        """None where trial steps of stage 2 failed."""
        context, state, seconds = self._context, self._state, self._timer.seconds
        if state.stage == 1:
            stage1_step = Estimate.about(sum(self._steps) / len(self._steps))
            if (trial := time_stage2(context, state)) is None:
                return None
            stage2_step = Estimate.of(trial)
        else:
            stage1_step = NOTHING
            stage2_step = self._stage2_step(epoch)
        sizes, config = state.sizes, context.config
        embed = seconds.get("embed")
        if embed is None:
            faces = len(context.val.probe_images) + len(context.val.gallery_images)
            face = stage2_step.likely / min(config.batch_size, context.images)
            embed = faces * FORWARD_WORK / work_of_a_face(2, config) * face
        measure = seconds.get("measure", _MEASURE_OF_EMBED * embed)
        return Costs(
            stage1_step=stage1_step,
            stage2_step=stage2_step,
            load=seconds.get("load", 0.0),
            embed_val=Estimate.about(embed),
            validate=validate_of(measure),
            measure=measure,
            evaluation=self._evaluation(),
            write_byte=seconds["write"] / sizes.first_state if "write" in seconds else _WRITE_BYTE,
            sizes=sizes,
            batches=batches_of(context.images, config.batch_size, context.device.type),
            save_every_seconds=context.control.save_every_seconds,
        )


@profiled("predict duration")
def time_stage2(context: RunContext, state: TrainState) -> list[float] | None:
    """Seconds of some optimizer steps of stage 2 on whole batches, without the first.

    They run on copies of the networks, with their own optimizer and random numbers. None where they do not fit the
    memory or end in NaN, or where the run is to stop.
    """
    try:
        with torch.random.fork_rng([context.device] if context.device.type == "cuda" else []):
            return _time_trial_steps(context, _copy_for_stage2(context, state))
    except (NotFinite, OutOfMemory):
        return None
    except StepDidNotFit:
        pass
    release_memory()
    return None


def _time_trial_steps(context: RunContext, state: TrainState) -> list[float] | None:
    epoch, seconds = state.start_epoch(context), list[float]()
    forward_backward = step_of(replace(context, report=lambda _: None, compiled_dir=None), state)
    for _ in range(1 + _TRIAL_STEPS):
        if context.control.stop.is_set():
            return None
        started = time.monotonic()
        batch = next(iter(Loader(epoch.faces, context.config.batch_size, parallel=context.parallel, at_once=1)))
        with out_of_memory_as(StepDidNotFit):
            state.optimizers.zero_grad()
            epoch.add(forward_backward(batch))
            if not epoch.loss_sum.isfinite():  # waits for the device
                raise NotFinite
            state.optimizers.step()
        epoch.loss_sum.item()
        seconds.append(time.monotonic() - started)
    return seconds[1:]


def _copy_for_stage2(context: RunContext, state: TrainState) -> TrainState:
    backbone, objective = copy.deepcopy((state.backbone, state.objectives[2]))
    backbone.requires_grad_(True).train()
    return TrainState(
        backbone=backbone,
        objectives={2: objective},
        classifier=state.classifier,
        generator=torch.Generator().manual_seed(0),
        before=state.before,
        best=Best(context.selection),
        micro_batch_size=state.micro_batch_size,
        stage=2,
        optimizers=optimizers_of(
            2,
            context,
            backbone,
            objective,
            scale=state.learning_rate_scale,
            scaled=state.precision(context).scaled,
        ),
        fp16_overflowed=state.fp16_overflowed,
    )
