"""The two stages, an epoch, a step."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

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
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import start_epoch
from worker.training.loop.frozen_embeddings import embeddings_of
from worker.training.loop.state import TrainState
from worker.training.loop.step import StepDidNotFit, train_step
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.control import StopRequested
from worker.training.runtime.microbatches import slices_of
from worker.training.runtime.out_of_memory import unless_out_of_memory
from worker.training.runtime.progress import work_of_a_face
from worker.training.validation.selection import Best, Validated
from worker.training.validation.validate import ValEmbeddings, embed_val, validate


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss (with margin and label smoothing) and accuracy (0..1, without margin) over the images of an epoch."""

    loss: float
    accuracy: float
    images_per_second: float


def train_head(
    context: RunContext, state: TrainState, state_files: TrainStateFiles, frozen: ValEmbeddings | None
) -> None:
    """What is left of stage 1: the backbone is frozen and in eval mode, the head learns at a constant head_lr.

    `frozen` are val's embeddings by the frozen backbone and serve every validation. Raises NotFinite, StepDidNotFit,
    StopRequested and DiskFull.
    """
    epochs = context.config.stage1_epochs
    state.backbone.eval()
    _report_start(context, state, state_files, epochs)
    while state.epoch < epochs:
        epoch = state.epoch + 1
        totals = train_epoch(context, state, state_files)
        validated = None
        if frozen is not None and _validation_is_due(epoch, epochs, context.config.val_interval):
            validated = validate(frozen, state.head)
        _finish_epoch(context, state, state_files, totals, validated, epochs, write_checkpoint=None)


def train_all(context: RunContext, state: TrainState, state_files: TrainStateFiles, checkpoints: Checkpoints) -> None:
    """What is left of stage 2: backbone and head learn, each at its own rate, both along a cosine to zero.

    Every better epoch gets a checkpoint. Ends early after early_stop_patience validations without a better one. Raises
    what `train_head` raises, and OutOfMemory.
    """
    config, epochs = context.config, context.config.stage2_epochs
    _enter_stage_2(context, state)
    state.backbone.train()
    _report_start(context, state, state_files, epochs)
    while state.epoch < epochs and not _patience_is_spent(config, state.best):
        epoch = state.epoch + 1
        totals = train_epoch(context, state, state_files)
        validated, write_checkpoint = None, None
        if _validation_is_due(epoch, epochs, config.val_interval):
            backbone = context.exported(state.backbone)
            validated = _validate(context, state, backbone, state_files)
            if state.best.offer(epoch, validated):
                write_checkpoint = _checkpoint_of(state, backbone, checkpoints, epoch, validated)
        _finish_epoch(context, state, state_files, totals, validated, epochs, write_checkpoint)


def train_epoch(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> EpochTotals:
    """What is left of an epoch: every training face once, in a drawn order, the last batch as small as it is."""
    if state.epoch_state is None:
        state.epoch_state = start_epoch(context, state.generator, state.optimization)
    epoch_state, stage, images = state.epoch_state, state.stage, len(state.epoch_state.order_N)
    epochs = context.config.stage1_epochs if stage == 1 else context.config.stage2_epochs
    work = work_of_a_face(stage, context.config)
    context.progress.start_epoch(stage, state.epoch + 1, epochs, step=epoch_state.step, steps_done=state.steps_done)
    embeddings = embeddings_of(context, state, epoch_state)
    for batch in slices_of(epoch_state.step * context.config.batch_size, images, context.config.batch_size):
        started = time.monotonic()
        if unless_out_of_memory(partial(train_step, context, state, epoch_state, embeddings, batch)) is None:
            raise StepDidNotFit
        epoch_state.step += 1
        state.steps_done += 1
        epoch_state.seconds += time.monotonic() - started
        context.progress.advance((batch.stop - batch.start) * work, steps=1)
        _save_if_asked(context, state, state_files)
        context.after_step()
    state.refuse_not_finite()
    return EpochTotals(
        epoch_state.loss_sum.item() / images, epoch_state.correct.item() / images, images / epoch_state.seconds
    )


def _enter_stage_2(context: RunContext, state: TrainState) -> None:
    if state.stage == 1:
        state.stage, state.epoch = 2, 0
        state.start_optimizer(context)


def _report_start(context: RunContext, state: TrainState, state_files: TrainStateFiles, epochs: int) -> None:
    """Told once, and not where the training is to stop: a resumed training then tells it."""
    state_files.writer.settle()
    context.control.refuse_if_stopped()
    if state.stage not in state.stages_started:
        state.stages_started.add(state.stage)
        context.report(StageStarted(state.stage, epochs))


def _save_if_asked(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> None:
    state_files.writer.report_if_done()
    if context.control.stop.is_set() or state_files.is_due():
        context.report(state_files.write(state, context))
    context.control.refuse_if_stopped()


def _validate(context: RunContext, state: TrainState, backbone: EdgeFace, state_files: TrainStateFiles) -> Validated:
    """Stage 2's, of the `backbone` that is handed out. Where it is stopped the state of before it is saved."""
    started, work_done = time.monotonic(), context.progress.work_done
    try:
        embeddings = embed_val(
            backbone, context.val, context.device, context.progress, context.control, context.parallel
        )
    except StopRequested:
        context.progress.go_back(work_done)
        context.report(state_files.write(state, context))
        raise
    validated = validate(embeddings, state.head)
    if state.epoch_state is not None:
        state.epoch_state.seconds += time.monotonic() - started
    return validated


def _checkpoint_of(
    state: TrainState, backbone: EdgeFace, checkpoints: Checkpoints, epoch: int, validated: Validated
) -> Callable[[], CheckpointWritten]:
    """What writes the networks as they are now, in any thread."""
    write = checkpoints.snapshot(backbone, state.head, epoch=epoch, val_acc=validated.accuracy, val_auc=validated.auc)
    score = state.best.score(validated)

    def write_checkpoint() -> CheckpointWritten:
        full, backbone = write()
        return CheckpointWritten(epoch=epoch, score=score, full=full, backbone=backbone)

    return write_checkpoint


def _finish_epoch(
    context: RunContext,
    state: TrainState,
    state_files: TrainStateFiles,
    totals: EpochTotals,
    validated: Validated | None,
    epochs: int,
    write_checkpoint: Callable[[], CheckpointWritten] | None,
) -> None:
    """Begin to write checkpoint and state; once they are on the disk the epoch is told: what was told is never trained
    again, and at last told where the state is."""
    finished = _epoch_finished(state, totals, validated, epochs, best=write_checkpoint is not None)
    state.epochs_reported.append(finished)
    told: list[TrainingEvent] = []
    state.epoch, state.epoch_state = state.epoch + 1, None
    if validated is not None and not state.collapse_warned:
        warning = collapse_warning(state.before.separation, validated.separation)
        if warning is not None:
            state.collapse_warned = True
            told.append(Warned(warning))
    if state.stage == 2 and state.epoch < epochs and _patience_is_spent(context.config, state.best):
        told.append(StoppedEarly(state.epoch, state.best.epoch))
    context.progress.finish_epoch()
    write_state = state_files.snapshot(state, context)
    state_files.writer.start(partial(_write_epoch, state, finished, write_checkpoint, told, write_state))


def _write_epoch(
    state: TrainState,
    finished: EpochFinished,
    write_checkpoint: Callable[[], CheckpointWritten] | None,
    told: Sequence[TrainingEvent],
    write_state: Callable[[CheckpointWritten | None], StateSaved],
) -> list[TrainingEvent]:
    if write_checkpoint is None:
        return [finished, *told, write_state(state.checkpoint)]
    state.checkpoint = write_checkpoint()  # read by nobody before this is settled
    return [finished, state.checkpoint, *told, write_state(state.checkpoint)]


def _validation_is_due(epoch: int, epochs: int, interval: int) -> bool:
    return epoch % interval == 0 or epoch == epochs


def _patience_is_spent(config: FinetuneConfig, best: Best) -> bool:
    return 0 < config.early_stop_patience <= best.validations_since


def _epoch_finished(
    state: TrainState, totals: EpochTotals, validated: Validated | None, epochs: int, *, best: bool
) -> EpochFinished:
    epoch_state = state.epoch_state
    assert epoch_state is not None, "an epoch has at least one step"  # noqa: S101
    separation = validated.separation if validated else None
    return EpochFinished(
        stage=state.stage,
        epoch=state.epoch + 1,
        epochs=epochs,
        train_loss=totals.loss,
        train_accuracy=totals.accuracy,
        val_loss=validated.loss if validated else None,
        val_accuracy=validated.accuracy if validated else None,
        val_auc=validated.auc if validated else None,
        head_lr=epoch_state.head_lr,
        backbone_lr=epoch_state.backbone_lr,
        seconds=epoch_state.seconds,
        images_per_second=totals.images_per_second,
        best=best,
        val_genuine_similarity=separation.genuine if separation else None,
        val_impostor_similarity=separation.impostor if separation else None,
        val_d_prime=separation.d_prime if separation else None,
    )
