"""One step of the optimizer."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.state import NotFinite, TrainState
from worker.training.objectives.objective import Embeddings, part_loss
from worker.training.runtime.cpu_parallel import SINGLE_THREAD
from worker.training.runtime.microbatches import add_gradients, slices_of
from worker.training.runtime.profiling import profiled

_GPU_STEPS_BETWEEN_LOOKS = 50


class StepDidNotFit(Exception):
    """A step ran out of memory. Caught in recovery.py."""


@profiled("loss and the rest of a step")
def train_step(
    context: RunContext, state: TrainState, epoch_state: EpochState, embeddings: Embeddings, batch: slice
) -> bool:
    """One step of the optimizer on a batch, at most micro_batch_size faces of it at once, whose gradients add up.

    CpuParallel share them. Divided or not, the loss is the mean over the whole batch and every face is augmented alike.
    Raises NotFinite: on a CPU before any weight moves; on a GPU, which would have to be waited for, some steps later,
    and always before anything is saved. True, so that None can mean that memory ran out.
    """
    optimization, images = state.optimization, batch.stop - batch.start
    parallel = context.parallel if state.stage == 2 else SINGLE_THREAD  # stage 1's embeddings are made in lanes already
    side_by_side = min(parallel.count, state.micro_batch_size, images)
    divided = state.micro_batch_size < images
    at_once = state.micro_batch_size // side_by_side if divided else -(-images // side_by_side)
    compute = partial(_part_of_step, context, state, epoch_state, embeddings, images)
    parts = list(slices_of(batch.start, batch.stop, at_once))
    optimization.optimizer.zero_grad(set_to_none=False)
    for first in range(0, len(parts), side_by_side):
        for part in parallel.map(compute, parts[first : first + side_by_side]):
            add_gradients(optimization.parameters, part.gradients)
            epoch_state.loss_sum += part.loss_sum
            epoch_state.correct += part.correct
    if _is_looked_at(epoch_state.step, context.device) and not epoch_state.loss_sum.isfinite():
        raise NotFinite
    with profiled("optimizer"):
        optimization.scaler.step(optimization.optimizer)
        optimization.scaler.update()
    if optimization.schedule is not None:
        optimization.schedule.step()
    return True


@dataclass(frozen=True)
class _Part:
    """Of a batch: the gradients of its share of the scaled loss, and sums over its faces."""

    gradients: tuple[Tensor, ...]
    loss_sum: Tensor
    correct: Tensor


def _part_of_step(
    context: RunContext, state: TrainState, epoch_state: EpochState, embeddings: Embeddings, images: int, places: slice
) -> _Part:
    part = part_loss(context, state, epoch_state, embeddings, places)
    scaled = state.optimization.scaler.scale(part.loss / images)
    with profiled("backward"):
        gradients = torch.autograd.grad(scaled, state.optimization.parameters, materialize_grads=True)
    return _Part(gradients, part.loss.detach(), part.correct)


def _is_looked_at(step: int, device: torch.device) -> bool:
    return device.type == "cpu" or step % _GPU_STEPS_BETWEEN_LOOKS == 0
