"""Trials on a run that is thrown away: embedding, optimizer steps of each stage, and files."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from app.finetune.events import Checkpoint
from app.finetune.ranges import Estimate
from app.finetune.training_errors import LossNotFinite, OutOfMemory
from worker.training.checkpoints.best_model import Checkpoints
from worker.training.data.val_faces import ValFaces
from worker.training.loop.context import RunContext
from worker.training.loop.setup import Loaded
from worker.training.loop.state import TrainState
from worker.training.loop.step import NotFinite, StepDidNotFit
from worker.training.loop.train_epoch import train_epoch
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import batches_of
from worker.training.runtime.out_of_memory import release_memory
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.validation.selection import Validated

_WARM = 8

TRIAL_EPOCHS = 3
"""Of each stage, the first to warm up."""


def time_embedding(loaded: Loaded, val: ValFaces, control: Control) -> float:
    """Seconds to embed all of val, by the faces of `val`, which may be fewer. Raises OutOfMemory and StopRequested."""
    some_u8_NCHW = torch.cat([val.probes_u8_PCHW, val.gallery_u8_GCHW])
    # A GPU loads the kernels for a batch of another size as well.
    warm = len(some_u8_NCHW) if loaded.device.type == "cuda" else _WARM
    embed(loaded.backbone, some_u8_NCHW[:warm], loaded.device, parallel=loaded.parallel)
    control.refuse_if_stopped()
    timer = PhaseTimer()
    with timer.phase("embed"):
        embed(loaded.backbone, some_u8_NCHW, loaded.device, parallel=loaded.parallel)
    return timer.seconds["embed"] * (len(val.probe_images) + len(val.gallery_images)) / len(some_u8_NCHW)


def time_steps(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> Estimate:
    """Seconds of a step on a whole batch, by two epochs after one that warms up. Raises OutOfMemory, LossNotFinite and
    StopRequested."""
    state.backbone.train(state.stage == 2)
    _time_epoch(context, state, state_files)
    timed = range(TRIAL_EPOCHS - 1)
    batches = batches_of(context.images, context.config.batch_size, context.device.type)
    return Estimate.of([_time_epoch(context, state, state_files) / batches for _ in timed])


def _time_epoch(context: RunContext, state: TrainState, state_files: TrainStateFiles) -> float:
    while True:
        started = time.monotonic()
        state.epoch_state = None
        try:
            train_epoch(context, state, state_files)
        except NotFinite:
            if state.precision(context).name != "fp16":
                raise LossNotFinite(state.stage, 1) from None
            state.fp16_overflowed = True
            state.start_optimizers(context)
            continue
        except StepDidNotFit:
            pass
        else:
            state.epoch_state = None
            return time.monotonic() - started
        release_memory()
        if state.micro_batch_size == 1:
            raise OutOfMemory(1)
        state.micro_batch_size //= 2


@dataclass(frozen=True)
class TrialFiles:
    """Bytes of a state of stage 2 and of a checkpoint, and the seconds to write both."""

    state_bytes: int
    checkpoint_bytes: int
    seconds: float


def time_writing(
    context: RunContext, state: TrainState, state_files: TrainStateFiles, checkpoints: Checkpoints, validated: Validated
) -> TrialFiles:
    """Raises DiskFull."""
    timer = PhaseTimer()
    write_checkpoint = checkpoints.snapshot(
        state.backbone, state.classifier, epoch=1, val_acc=validated.accuracy, val_auc=validated.auc
    )
    checkpoint = state.checkpoint = Checkpoint.of(write_checkpoint(), epoch=1, score=0.0)
    state_file = state_files.write(state, context).file
    return TrialFiles(state_file.size, sum(file.size for file in checkpoint.files), timer.elapsed)


def remove_trial_files(output_dir: Path) -> None:
    """Remove what `time_writing` wrote, and the states of steps that were stopped."""
    for path in (*output_dir.glob("best-epoch-*/*"), *output_dir.glob("state-*.pth")):
        path.unlink()
    for folder in output_dir.glob("best-epoch-*"):
        folder.rmdir()
