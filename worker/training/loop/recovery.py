"""Going on after what would have ended a training: a step that does not fit the memory, numbers gone bad.

Both go back to the newest saved state, so that a step is never half done, and go on from there with what they learned.
"""

import contextlib
from collections.abc import Callable

from app.finetune.dataset import JobWarning
from app.finetune.errors import LossNotFinite, OutOfMemory
from app.finetune.events import BatchSplit, CheckpointWritten, RolledBack, Warned
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.loop.context import Course
from worker.training.loop.stages import StepDidNotFit, train_all, train_head
from worker.training.loop.state import NotFinite, States, Training
from worker.training.validation.validate import ValEmbeddings

LEARNING_RATE_SCALE = 0.1
"""What the learning rates are multiplied by after going back."""


def train_to_the_end(
    course: Course, training: Training, states: States, checkpoints: Checkpoints, frozen: ValEmbeddings | None
) -> CheckpointWritten:
    """Both stages, or what is left of them; the best epoch's checkpoint. `frozen` is for stage 1.

    Raises OutOfMemory, LossNotFinite, DiskFull and StopRequested, once all epochs that are finished are told.
    """
    try:
        while (prepare_to_go_on := _train(course, training, states, checkpoints, frozen)) is not None:
            # Out of its except block: what the failed step held is free.
            prepare_to_go_on(course, training, states)
        states.beside.settle()
    except Exception:
        with contextlib.suppress(Exception):
            states.beside.settle()
        raise
    assert training.checkpoint is not None, "the last epoch is validated, and the first validation is the best so far"  # noqa: S101
    return training.checkpoint


def _train(
    course: Course, training: Training, states: States, checkpoints: Checkpoints, frozen: ValEmbeddings | None
) -> Callable[[Course, Training, States], None] | None:
    """To the end, or to a step that failed: then what lets the training go on."""
    try:
        if training.stage == 1:
            train_head(course, training, states, frozen)
        train_all(course, training, states, checkpoints)
    except StepDidNotFit:
        return split_batches
    except NotFinite:
        return roll_back
    return None


def split_batches(course: Course, training: Training, states: States) -> None:
    """Halve what is computed at once. Raises OutOfMemory where that is one image already."""
    if training.micro_batch_size == 1:
        raise OutOfMemory(1)
    micro_batch_size = training.micro_batch_size // 2
    _go_back(course, training, states, micro_batch_size, training.learning_rate_scale)
    course.report(BatchSplit(course.config.batch_size, micro_batch_size, training.stage, training.epoch, training.step))


def roll_back(course: Course, training: Training, states: States) -> None:
    """Lower the learning rates, once. Raises LossNotFinite where that was done already."""
    stage, epoch = training.stage, training.epoch + 1
    if training.learning_rate_scale < 1:
        raise LossNotFinite(stage, epoch)
    _go_back(course, training, states, training.micro_batch_size, LEARNING_RATE_SCALE)
    course.report(RolledBack(LEARNING_RATE_SCALE, training.stage, training.epoch, training.step))
    message = (
        f"the loss became NaN or infinity in epoch {epoch} of stage {stage}: the training went back to "
        f"{_place(training)} and goes on with learning rates times {LEARNING_RATE_SCALE}"
    )
    course.report(Warned(JobWarning(code="rolled_back", message=message)))


def _place(training: Training) -> str:
    if training.step:
        return f"step {training.step} of epoch {training.epoch + 1} of stage {training.stage}"
    return f"the end of epoch {training.epoch} of stage {training.stage}" if training.epoch else "its start"


def _go_back(
    course: Course, training: Training, states: States, micro_batch_size: int, learning_rate_scale: float
) -> None:
    """To the newest saved state, keeping what was learned since it was saved."""
    states.newest().restore(training, course)
    training.micro_batch_size = micro_batch_size
    training.optimization.scale_rates(learning_rate_scale / training.learning_rate_scale)
    training.learning_rate_scale = learning_rate_scale
