"""The two stages, an epoch, a step."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from app.finetune.config import FinetuneConfig
from app.finetune.events import (
    CheckpointWritten,
    EpochFinished,
    StageStarted,
    StateSaved,
    StoppedEarly,
    TrainingEvent,
    Warned,
)
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.checks.collapse import collapse_warning
from worker.training.data.loader import embed_augmented, places_of
from worker.training.loop.context import Course
from worker.training.loop.epoch import RunningEpoch, start_epoch
from worker.training.loop.frozen_embeddings import EmbeddingsAhead
from worker.training.loop.optimizers import add_gradients
from worker.training.loop.state import NotFinite, States, Training
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.objective import Embeddings, part_loss
from worker.training.runtime.control import StopRequested
from worker.training.runtime.cpu_parallel import ONE_LANE
from worker.training.runtime.out_of_memory import unless_out_of_memory
from worker.training.runtime.profiling import profiled
from worker.training.runtime.progress import work_of_a_face
from worker.training.validation.validate import Best, ValEmbeddings, Validated, embed_val, validate

_GPU_STEPS_BETWEEN_LOOKS = 50


class StepDidNotFit(Exception):
    """A step ran out of memory. Caught in recovery.py."""


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss (with margin and label smoothing) and accuracy (0..1, without margin) over the images of an epoch."""

    loss: float
    accuracy: float
    images_per_second: float


def train_head(course: Course, training: Training, states: States, frozen: ValEmbeddings | None) -> None:
    """What is left of stage 1: the backbone is frozen and in eval mode, the head learns at a constant head_lr.

    `frozen` are val's embeddings by the frozen backbone and serve every validation. Raises NotFinite, StepDidNotFit,
    StopRequested and DiskFull.
    """
    epochs = course.config.stage1_epochs
    training.backbone.eval()
    _tell_start(course, training, states, epochs)
    while training.epoch < epochs:
        epoch = training.epoch + 1
        totals = train_epoch(course, training, states)
        validated = None
        if frozen is not None and _validation_is_due(epoch, epochs, course.config.val_interval):
            validated = validate(frozen, training.head)
        _finish_epoch(course, training, states, totals, validated, epochs, write_checkpoint=None)


def train_all(course: Course, training: Training, states: States, checkpoints: Checkpoints) -> None:
    """What is left of stage 2: backbone and head learn, each at its own rate, both along a cosine to zero.

    Every better epoch gets a checkpoint. Ends early after early_stop_patience validations without a better one. Raises
    what `train_head` raises, and OutOfMemory.
    """
    config, epochs = course.config, course.config.stage2_epochs
    _enter_stage_2(course, training)
    training.backbone.train()
    _tell_start(course, training, states, epochs)
    while training.epoch < epochs and not _patience_is_spent(config, training.best):
        epoch = training.epoch + 1
        totals = train_epoch(course, training, states)
        validated, write_checkpoint = None, None
        if _validation_is_due(epoch, epochs, config.val_interval):
            backbone = course.handed_out(training.backbone)
            validated = _validate(course, training, backbone, states)
            if training.best.offer(epoch, validated):
                write_checkpoint = _checkpoint_of(training, backbone, checkpoints, epoch, validated)
        _finish_epoch(course, training, states, totals, validated, epochs, write_checkpoint)


def train_epoch(course: Course, training: Training, states: States) -> EpochTotals:
    """What is left of an epoch: every training face once, in a drawn order, the last batch as small as it is."""
    if training.running is None:
        training.running = start_epoch(course, training.generator, training.optimization)
    running, stage, images = training.running, training.stage, len(training.running.order_N)
    epochs = course.config.stage1_epochs if stage == 1 else course.config.stage2_epochs
    work = work_of_a_face(stage, course.config)
    course.progress.start_epoch(stage, training.epoch + 1, epochs, step=running.step, steps_done=training.steps_done)
    embeddings = embeddings_of(course, training, running)
    for batch in places_of(running.step * course.config.batch_size, images, course.config.batch_size):
        started = time.monotonic()
        if unless_out_of_memory(partial(train_step, course, training, running, embeddings, batch)) is None:
            raise StepDidNotFit
        running.step += 1
        training.steps_done += 1
        running.seconds += time.monotonic() - started
        course.progress.advance((batch.stop - batch.start) * work, steps=1)
        _save_if_asked(course, training, states)
        course.after_step()
    training.refuse_not_finite()
    return EpochTotals(running.loss_sum.item() / images, running.correct.item() / images, images / running.seconds)


def embeddings_of(course: Course, training: Training, running: RunningEpoch) -> Embeddings:
    """Of the augmented faces at some places of the epoch: made ahead in stage 1, through a backbone that learns in
    stage 2."""
    if training.stage == 1:
        return EmbeddingsAhead(course, training.backbone, running)
    return partial(embed_augmented, course, training.backbone, running)


@profiled("loss and the rest of a step")
def train_step(course: Course, training: Training, running: RunningEpoch, embeddings: Embeddings, batch: slice) -> bool:
    """One step of the optimizer on a batch, at most micro_batch_size faces of it at once, whose gradients add up.

    Lanes share them. Divided or not, the loss is the mean over the whole batch and every face is augmented alike.
    Raises NotFinite: on a CPU before any weight moves; on a GPU, which would have to be waited for, some steps later,
    and always before anything is saved. True, so that None can mean that memory ran out.
    """
    optimization, images = training.optimization, batch.stop - batch.start
    lanes = course.lanes if training.stage == 2 else ONE_LANE  # stage 1's embeddings are made in lanes already
    side_by_side = min(lanes.count, training.micro_batch_size, images)
    divided = training.micro_batch_size < images
    at_once = training.micro_batch_size // side_by_side if divided else -(-images // side_by_side)
    compute = partial(_part_of_step, course, training, running, embeddings, images)
    parts = list(places_of(batch.start, batch.stop, at_once))
    optimization.optimizer.zero_grad(set_to_none=False)
    for first in range(0, len(parts), side_by_side):
        for part in lanes.map(compute, parts[first : first + side_by_side]):
            add_gradients(optimization.parameters, part.gradients)
            running.loss_sum += part.loss_sum
            running.correct += part.correct
    if _is_looked_at(running.step, course.device) and not running.loss_sum.isfinite():
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
    course: Course, training: Training, running: RunningEpoch, embeddings: Embeddings, images: int, places: slice
) -> _Part:
    part = part_loss(course, training, running, embeddings, places)
    scaled = training.optimization.scaler.scale(part.loss / images)
    with profiled("backward"):
        gradients = torch.autograd.grad(scaled, training.optimization.parameters, materialize_grads=True)
    return _Part(gradients, part.loss.detach(), part.correct)


def _is_looked_at(step: int, device: torch.device) -> bool:
    return device.type == "cpu" or step % _GPU_STEPS_BETWEEN_LOOKS == 0


def _enter_stage_2(course: Course, training: Training) -> None:
    if training.stage == 1:
        training.stage, training.epoch = 2, 0
        training.start_optimization(course)


def _tell_start(course: Course, training: Training, states: States, epochs: int) -> None:
    """Told once, and not where the training is to stop: a resumed training then tells it."""
    states.beside.settle()
    course.control.refuse_if_stopped()
    if training.stage not in training.stages_told:
        training.stages_told.add(training.stage)
        course.report(StageStarted(training.stage, epochs))


def _save_if_asked(course: Course, training: Training, states: States) -> None:
    states.beside.tell_if_done()
    if course.control.stop.is_set() or states.is_due():
        course.report(states.write(training, course))
    course.control.refuse_if_stopped()


def _validate(course: Course, training: Training, backbone: EdgeFace, states: States) -> Validated:
    """Stage 2's, of the `backbone` that is handed out. Where it is stopped the state of before it is saved."""
    started, work_done = time.monotonic(), course.progress.work_done
    try:
        embeddings = embed_val(backbone, course.val, course.device, course.progress, course.control, course.lanes)
    except StopRequested:
        course.progress.go_back(work_done)
        course.report(states.write(training, course))
        raise
    validated = validate(embeddings, training.head)
    if training.running is not None:
        training.running.seconds += time.monotonic() - started
    return validated


def _checkpoint_of(
    training: Training, backbone: EdgeFace, checkpoints: Checkpoints, epoch: int, validated: Validated
) -> Callable[[], CheckpointWritten]:
    """What writes the networks as they are now, in any thread."""
    write = checkpoints.snapshot(
        backbone, training.head, epoch=epoch, val_acc=validated.accuracy, val_auc=validated.auc
    )
    score = training.best.score(validated)

    def write_checkpoint() -> CheckpointWritten:
        full, backbone = write()
        return CheckpointWritten(full, backbone, epoch, score)

    return write_checkpoint


def _finish_epoch(
    course: Course,
    training: Training,
    states: States,
    totals: EpochTotals,
    validated: Validated | None,
    epochs: int,
    write_checkpoint: Callable[[], CheckpointWritten] | None,
) -> None:
    """Begin to write checkpoint and state; once they are on the disk the epoch is told: what was told is never trained
    again, and at last told where the state is."""
    finished = _epoch_finished(training, totals, validated, epochs, best=write_checkpoint is not None)
    training.epochs_told.append(finished)
    told: list[TrainingEvent] = []
    training.epoch, training.running = training.epoch + 1, None
    if validated is not None and not training.collapse_told:
        warning = collapse_warning(training.before.separation, validated.separation)
        if warning is not None:
            training.collapse_told = True
            told.append(Warned(warning))
    if training.stage == 2 and training.epoch < epochs and _patience_is_spent(course.config, training.best):
        told.append(StoppedEarly(training.epoch, training.best.epoch))
    course.progress.finish_epoch()
    write_state = states.snapshot(training, course)
    states.beside.start(partial(_write_epoch, training, finished, write_checkpoint, told, write_state))


def _write_epoch(
    training: Training,
    finished: EpochFinished,
    write_checkpoint: Callable[[], CheckpointWritten] | None,
    told: Sequence[TrainingEvent],
    write_state: Callable[[CheckpointWritten | None], StateSaved],
) -> list[TrainingEvent]:
    if write_checkpoint is None:
        return [finished, *told, write_state(training.checkpoint)]
    training.checkpoint = write_checkpoint()  # read by nobody before this is settled
    return [finished, training.checkpoint, *told, write_state(training.checkpoint)]


def _validation_is_due(epoch: int, epochs: int, interval: int) -> bool:
    return epoch % interval == 0 or epoch == epochs


def _patience_is_spent(config: FinetuneConfig, best: Best) -> bool:
    return 0 < config.early_stop_patience <= best.validations_since


def _epoch_finished(
    training: Training, totals: EpochTotals, validated: Validated | None, epochs: int, *, best: bool
) -> EpochFinished:
    running = training.running
    assert running is not None, "an epoch has at least one step"  # noqa: S101
    separation = validated.separation if validated else None
    return EpochFinished(
        stage=training.stage,
        epoch=training.epoch + 1,
        epochs=epochs,
        train_loss=totals.loss,
        train_accuracy=totals.accuracy,
        val_loss=validated.loss if validated else None,
        val_accuracy=validated.accuracy if validated else None,
        val_auc=validated.auc if validated else None,
        head_lr=running.head_lr,
        backbone_lr=running.backbone_lr,
        seconds=running.seconds,
        images_per_second=totals.images_per_second,
        best=best,
        val_genuine_similarity=separation.genuine if separation else None,
        val_impostor_similarity=separation.impostor if separation else None,
        val_d_prime=separation.d_prime if separation else None,
    )
