"""The two stages, and what follows each epoch: validation, checkpoint, state and events."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from app.finetune.config import FinetuneConfig
from app.finetune.events import (
    Checkpoint,
    EpochFinished,
    Phase,
    Stage,
    StageStarted,
    StateSaved,
    StepsSkipped,
    StoppedEarly,
    TrainingEvent,
    Warned,
)
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.checks.collapse import collapse_warning
from worker.training.loop.context import RunContext
from worker.training.loop.state import TrainState
from worker.training.loop.train_epoch import EpochTotals, train_epoch
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.control import StopRequested
from worker.training.validation.selection import Best, Validated
from worker.training.validation.validate import ValEmbeddings, embed_val, validate

_PHASES: dict[Stage, Phase] = {1: "stage_1", 2: "stage_2"}


def train_head(
    context: RunContext, state: TrainState, state_files: TrainStateFiles, frozen: ValEmbeddings | None
) -> None:
    """Train the rest of stage 1: the backbone is frozen and in eval mode, the head trains at a constant head_lr.

    `frozen` are val's embeddings by the frozen backbone, which every validation uses. Raises NotFinite, StepDidNotFit,
    OutOfMemory, StopRequested and DiskFull.
    """
    epochs = context.config.stage1_epochs
    state.backbone.eval()
    _report_start(context, state, state_files, epochs)
    while state.epoch < epochs:
        epoch = state.epoch + 1
        totals = train_epoch(context, state, state_files)
        validated = None
        if frozen is not None and _validation_is_due(epoch, epochs, context.config.val_interval):
            validated = validate(frozen, state.classifier)
        _finish_epoch(context, state, state_files, totals, validated, epochs, write_checkpoint=None)


def train_all(context: RunContext, state: TrainState, state_files: TrainStateFiles, checkpoints: Checkpoints) -> None:
    """Train the rest of stage 2: backbone and objective, each at its own rate, both along a cosine to zero.

    Writes a checkpoint of every better epoch. Stops early after early_stop_patience validations without one. Raises
    what `train_head` raises.
    """
    config, epochs = context.config, context.config.stage2_epochs
    if state.stage == 1:
        state.start_stage(context, 2)
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


def _report_start(context: RunContext, state: TrainState, state_files: TrainStateFiles, epochs: int) -> None:
    """`PhaseStarted` in each process, and `StageStarted` once per stage. A run that is to stop leaves it to the resumed
    run."""
    state_files.writer.join()
    context.control.refuse_if_stopped()
    context.progress.start(_PHASES[state.stage], (state.epoch + state.step / context.steps_per_epoch) / epochs)
    if state.stage not in state.stages_started:
        state.stages_started.add(state.stage)
        context.report(
            StageStarted(state.stage, epochs, context.objective(state.stage), context.identities(state.stage))
        )


def _validate(context: RunContext, state: TrainState, backbone: EdgeFace, state_files: TrainStateFiles) -> Validated:
    """Validate the exported `backbone`. A stop saves the state of before the validation."""
    started, done = time.monotonic(), context.progress.done
    try:
        embeddings = embed_val(
            backbone, context.val, context.device, context.progress, context.control, context.parallel
        )
    except StopRequested:
        context.progress.go_back(done)
        context.report(state_files.write(state, context))
        raise
    validated = validate(embeddings, state.classifier)
    if state.epoch_state is not None:
        state.epoch_state.seconds += time.monotonic() - started
        state.epoch_state.wait_for_gpu()
    return validated


def _checkpoint_of(
    state: TrainState, backbone: EdgeFace, checkpoints: Checkpoints, epoch: int, validated: Validated
) -> Callable[[], Checkpoint]:
    """A function that writes the networks as they are now, callable in any thread."""
    write = checkpoints.snapshot(
        backbone, state.classifier, epoch=epoch, val_acc=validated.accuracy, val_auc=validated.auc
    )
    score, selection = state.best.score(validated), state.best.criterion

    def write_checkpoint() -> Checkpoint:
        return Checkpoint.of(write(), epoch=epoch, score=score, selection=selection)

    return write_checkpoint


def _finish_epoch(
    context: RunContext,
    state: TrainState,
    state_files: TrainStateFiles,
    totals: EpochTotals,
    validated: Validated | None,
    epochs: int,
    write_checkpoint: Callable[[], Checkpoint] | None,
) -> None:
    """Begin to write checkpoint and state. The epoch is reported once they are on the disk, and the state last: a
    reported epoch never trains again."""
    finished = _epoch_finished(state, totals, validated, epochs, best=write_checkpoint is not None)
    state.epochs_reported.append(finished)
    events = _steps_skipped(state)
    state.epoch, state.epoch_state = state.epoch + 1, None
    if validated is not None and not state.collapse_warned:
        warning = collapse_warning(state.before.separation, validated.separation)
        if warning is not None:
            state.collapse_warned = True
            events.append(Warned(warning))
    if state.stage == 2 and state.epoch < epochs and _patience_is_spent(context.config, state.best):
        events.append(StoppedEarly(state.epoch, state.best.epoch))
    write_state = state_files.snapshot(state, context)
    state_files.writer.start(partial(_write_epoch, state, finished, write_checkpoint, events, write_state))


def _write_epoch(
    state: TrainState,
    finished: EpochFinished,
    write_checkpoint: Callable[[], Checkpoint] | None,
    events: Sequence[TrainingEvent],
    write_state: Callable[[Checkpoint | None], StateSaved],
) -> list[TrainingEvent]:
    if write_checkpoint is None:
        return [finished, *events, write_state(state.checkpoint)]
    state.checkpoint = write_checkpoint()  # nothing reads it before the writer is joined
    return [finished, state.checkpoint, *events, write_state(state.checkpoint)]


def _validation_is_due(epoch: int, epochs: int, interval: int) -> bool:
    return epoch % interval == 0 or epoch == epochs


def _patience_is_spent(config: FinetuneConfig, best: Best) -> bool:
    return 0 < config.early_stop_patience <= best.validations_since


def _steps_skipped(state: TrainState) -> list[TrainingEvent]:
    epoch_state = state.epoch_state
    if epoch_state is None or not epoch_state.skipped:
        return []
    loss_scale = state.optimizers.scaler.factor
    return [StepsSkipped(state.stage, state.epoch + 1, epoch_state.skipped, epoch_state.step, loss_scale)]


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
        val_tar_at_far_1_percent=validated.tar_at_far_1_percent if validated else None,
        head_lr=epoch_state.head_lr,
        backbone_lr=epoch_state.backbone_lr,
        seconds=epoch_state.seconds,
        images_per_second=totals.images_per_second,
        best=best,
        val_genuine_similarity=separation.genuine if separation else None,
        val_impostor_similarity=separation.impostor if separation else None,
        val_d_prime=separation.d_prime if separation else None,
    )
