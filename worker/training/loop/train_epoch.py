"""One epoch: the training loop."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from worker.training.data.loader import Batch, Loader, augmented
from worker.training.loop.compiled_backbone import Compiling, compiling_of
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.frozen_embeddings import FrozenEmbeddings
from worker.training.loop.graphs import GraphedForwardBackward
from worker.training.loop.optimizers import Optimizers
from worker.training.loop.state import TrainState
from worker.training.loop.step import ForwardBackward, NotFinite, StepDidNotFit
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.models.embedding import embed_faces
from worker.training.models.layout import in_a_layout_with_kernels
from worker.training.objectives.objective import Loss
from worker.training.runtime.cost_model import work_of_a_face
from worker.training.runtime.out_of_memory import out_of_memory_as
from worker.training.runtime.profiling import profiled

_GPU_STEPS_BETWEEN_LOOKS = 50


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss (with margin and label smoothing) and accuracy (0..1, without margin) over the images of an epoch."""

    loss: float
    accuracy: float
    images_per_second: float


def train_epoch(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> EpochTotals:
    """Train the rest of the current epoch: every face once, in a drawn order.

    Raises NotFinite: on a CPU before any weight changes; on a GPU, where reading the loss waits for the device, some
    steps later, and always before a state is saved. Raises StepDidNotFit, OutOfMemory, StopRequested and DiskFull.
    """
    epoch, work = state.start_epoch(context), work_of_a_face(state.stage, context.config)
    context.progress.start_epoch(
        state.stage,
        state.epoch + 1,
        context.epochs(state.stage),
        step=epoch.step,
        steps=context.steps_per_epoch,
        steps_done=state.steps_done,
    )
    optimizers, forward_backward = state.optimizers, step_of(context, state)
    started = time.monotonic()
    for batch in remaining_batches(context, state, epoch):
        with profiled("loss and the rest of a step"), out_of_memory_as(StepDidNotFit):
            losses = in_a_layout_with_kernels(state.backbone, partial(_gradients, optimizers, forward_backward, batch))
            epoch.add(losses)
            _refuse_not_finite(state, epoch, context.device)
            optimizers.step()
        epoch.step += 1
        state.steps_done += 1
        epoch.seconds += time.monotonic() - started
        context.progress.advance(len(batch) * work, steps=1)
        _save_if_due(context, state, epoch, state_files)
        for after_step in context.step_listeners:
            after_step()
        started = time.monotonic()
    epoch.wait_for_gpu()
    state.refuse_not_finite()
    images = len(epoch.faces)
    return EpochTotals(epoch.loss_sum.item() / images, epoch.correct.item() / images, images / epoch.seconds)


def remaining_batches(context: RunContext, state: TrainState, epoch: EpochState) -> Iterable[Batch]:
    """The batches of the epoch that are left: in stage 1 embeddings by the frozen backbone, in stage 2 faces."""
    batch_size, parallel = context.config.batch_size, context.parallel
    if state.stage == 2:
        return Loader(epoch.faces, batch_size, epoch.step, parallel)
    embed = partial(embed_faces, state.backbone, precision=state.precision(context))
    return FrozenEmbeddings(
        embed, epoch.faces, batch_size, context.device, epoch.step, lambda _: context.control.at_work(), parallel
    )


def step_of(context: RunContext, state: TrainState) -> Callable[[Batch], list[Loss]]:
    """Forward and backward of the current stage, for `remaining_batches` of the epoch that starts or resumes: by CUDA
    graphs on a GPU."""
    eager = forward_backward_of(context, state)
    if context.device.type != "cuda":
        return eager
    if state.graphs is None:
        scaled, compiling = state.precision(context).scaled, _compiling(context, state, eager)
        state.graphs = GraphedForwardBackward(
            context.report, state.stage, context.captures, scaled=scaled, compiling=compiling
        )
    return state.graphs.start_epoch(eager)


def _compiling(context: RunContext, state: TrainState, eager: ForwardBackward) -> Compiling | None:
    """The backbone trains in stage 2 alone."""
    if state.stage == 1 or context.compiled_dir is None:
        return None
    steps_done = state.epoch * context.steps_per_epoch + state.step
    return compiling_of(
        eager,
        state.backbone,
        context.device,
        state.precision(context),
        batch_size=context.config.batch_size,
        steps_left=context.epochs(2) * context.steps_per_epoch - steps_done,
        compiled_dir=context.compiled_dir,
    )


def forward_backward_of(context: RunContext, state: TrainState) -> ForwardBackward:
    """Forward and backward of the current stage, operation by operation."""
    objective, optimizers = state.objectives[state.stage], state.optimizers
    if state.stage == 2:
        model = partial(embed_faces, state.backbone, precision=state.precision(context))
        return ForwardBackward(model, objective, optimizers, state.micro_batch_size, context.parallel, augmented)
    return ForwardBackward(_as_embedded, objective, optimizers, state.micro_batch_size)


def _gradients(optimizers: Optimizers, forward_backward: Callable[[Batch], list[Loss]], batch: Batch) -> list[Loss]:
    optimizers.zero_grad()
    return forward_backward(batch)


def _as_embedded(e_BD: Tensor) -> Tensor:
    return e_BD


def _refuse_not_finite(state: TrainState, epoch: EpochState, device: torch.device) -> None:
    if device.type == "cpu" or epoch.step % _GPU_STEPS_BETWEEN_LOOKS == 0:
        state.count_skipped()
        if not epoch.loss_sum.isfinite():
            raise NotFinite


def _save_if_due(context: RunContext, state: TrainState, epoch: EpochState, state_files: TrainStateFiles) -> None:
    state_files.writer.report_if_done()
    if context.control.stop.is_set() or state_files.is_due():
        epoch.wait_for_gpu()
        context.report(state_files.write(state, context))
    context.control.refuse_if_stopped()
