"""Recovery from a step that does not fit the memory, and from a loss or weight that is NaN or infinity.

Both restore the newest saved state, so that no step is half done, and continue with smaller microbatches or lower
learning rates.
"""

import contextlib
from collections.abc import Callable

from app.finetune.dataset import JobWarning
from app.finetune.events import BatchSplit, Checkpoint, RolledBack, Warned
from app.finetune.training_errors import LossNotFinite, OutOfMemory
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.loop.context import RunContext
from worker.training.loop.stages import train_all, train_head
from worker.training.loop.state import TrainState
from worker.training.loop.step import NotFinite, StepDidNotFit
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.runtime.out_of_memory import release_memory
from worker.training.validation.validate import ValEmbeddings

LEARNING_RATE_SCALE = 0.1
"""The factor of the learning rates after a rollback."""


def train_to_the_end(
    context: RunContext,
    state: TrainState,
    state_files: TrainStateFiles,
    checkpoints: Checkpoints,
    frozen: ValEmbeddings | None,
) -> Checkpoint:
    """Train the rest of both stages; returns the best epoch's checkpoint. `frozen` is for stage 1.

    Raises OutOfMemory, LossNotFinite, DiskFull and StopRequested, after reporting all finished epochs.
    """
    try:
        while (recover := _train(context, state, state_files, checkpoints, frozen)) is not None:
            # Past the except block, where the tensors of the failed step are free.
            recover(context, state, state_files)
        state_files.writer.join()
    except Exception:
        with contextlib.suppress(Exception):
            state_files.writer.join()
        raise
    assert state.checkpoint is not None, "the last epoch is validated, and the first validation is the best so far"  # noqa: S101
    return state.checkpoint


def _train(
    context: RunContext,
    state: TrainState,
    state_files: TrainStateFiles,
    checkpoints: Checkpoints,
    frozen: ValEmbeddings | None,
) -> Callable[[RunContext, TrainState, TrainStateFiles], None] | None:
    """Train to the end, or to a step that fails; then returns the recovery."""
    try:
        if state.stage == 1:
            train_head(context, state, state_files, frozen)
        train_all(context, state, state_files, checkpoints)
    except StepDidNotFit:
        return split_batches
    except NotFinite:
        return continue_in_float32 if state.precision(context).name == "fp16" else roll_back
    return None


def split_batches(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> None:
    """Halve the microbatches. Raises OutOfMemory where they are single images already."""
    if state.micro_batch_size == 1:
        raise OutOfMemory(1)
    release_memory()
    micro_batch_size = state.micro_batch_size // 2
    _restore(context, state, state_files, micro_batch_size, state.learning_rate_scale)
    context.report(BatchSplit(context.config.batch_size, micro_batch_size, state.stage, state.epoch, state.step))


def roll_back(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> None:
    """Lower the learning rates, once. Raises LossNotFinite the second time."""
    stage, epoch = state.stage, state.epoch + 1
    if state.learning_rate_scale < 1:
        raise LossNotFinite(stage, epoch)
    _restore(context, state, state_files, state.micro_batch_size, LEARNING_RATE_SCALE)
    context.report(RolledBack(LEARNING_RATE_SCALE, state.stage, state.epoch, state.step))
    message = (
        f"the loss became NaN or infinity in epoch {epoch} of stage {stage}: the training went back to "
        f"{_place(state)} and continues with learning rates times {LEARNING_RATE_SCALE}"
    )
    context.report(Warned(JobWarning(code="rolled_back", message=message)))


def continue_in_float32(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> None:
    """Leave fp16, whose largest number is 65504; the learning rates stay as they are."""
    stage, epoch = state.stage, state.epoch + 1
    state.fp16_overflowed = True
    _restore(context, state, state_files, state.micro_batch_size, state.learning_rate_scale)
    context.report(RolledBack(state.learning_rate_scale, state.stage, state.epoch, state.step, precision="float32"))
    message = (
        f"fp16 overflowed in epoch {epoch} of stage {stage}: the training went back to {_place(state)} and continues "
        'in float32; set mixed_precision to "off", or to "bf16" if the GPU supports it'
    )
    context.report(Warned(JobWarning(code="fp16_overflowed", message=message)))


def _place(state: TrainState) -> str:
    if state.step:
        return f"step {state.step} of epoch {state.epoch + 1} of stage {state.stage}"
    return f"the end of epoch {state.epoch} of stage {state.stage}" if state.epoch else "its start"


def _restore(
    context: RunContext,
    state: TrainState,
    state_files: TrainStateFiles,
    micro_batch_size: int,
    learning_rate_scale: float,
) -> None:
    """Restore the newest saved state, but keep the microbatches and the scale of the learning rates."""
    state_files.newest().restore(state, context)
    state.micro_batch_size = micro_batch_size
    state.optimizers.scale_rates(learning_rate_scale / state.learning_rate_scale)
    state.learning_rate_scale = learning_rate_scale
