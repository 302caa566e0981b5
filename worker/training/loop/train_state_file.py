"""The train state as a file that a later training resumes from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from app.finetune.events import Checkpoint, EpochFinished, Recognition, Report, Stage, StateSaved
from worker.training.checkpoints.best_model import plain
from worker.training.checkpoints.state_file import StateContent, StateFiles
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import load_epoch
from worker.training.loop.state import TrainState
from worker.training.metrics import Separation
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.atomic import saved_bytes, write_whole
from worker.training.storage.background import BackgroundWriter
from worker.training.storage.digests import InputDigests
from worker.training.storage.paths import ResumeFrom
from worker.training.validation.measure import Measurement

FORMAT_VERSION = 1


class SavedState(StateContent[InputDigests]):
    """The saved state of a fine-tuning. Raises WeightsUnreadable where the file is none."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("format_version", FORMAT_VERSION), InputDigests)
        with self._refuse_damage():
            self.stage: Stage = 2 if self._content["stage"] == 2 else 1
            self.before = _measurement(self._content["before"])

    def restore(self, state: TrainState, context: RunContext) -> None:
        """Set everything as it was when the state was saved, except the best checkpoint, which has its own file.

        Raises WeightsUnreadable where the state does not fit the networks.
        """
        content = self._content
        with self._refuse_damage():
            state.backbone.load_state_dict(content["backbone"], strict=True)
            for objective in state.objectives.values():
                objective.load_state_dict(content)
            state.generator.set_state(content["generator"])
            state.best = replace(state.best, **content["best"])
            state.stage, state.epoch = self.stage, content["epoch"]
            state.steps_done = content["steps_done"]
            state.epoch_state = None
            if (epoch := content["running"]) is not None:
                source = context.sources[state.stage]
                state.epoch_state = load_epoch(epoch, source, state.generator, context.device)
            state.micro_batch_size = content["micro_batch_size"]
            state.learning_rate_scale = content["learning_rate_scale"]
            state.collapse_warned = content["collapse_told"]
            state.fp16_overflowed |= content.get("fp16_overflowed", False)  # absent in version 0.2 and before
            # A state of version 0.1 lacks them: the curves of its report begin where it was resumed.
            state.epochs_reported = [EpochFinished(**epoch) for epoch in content.get("epochs_told", [])]
            state.start_optimizers(context)
            state.optimizers.load_state_dict(content["optimization"])
        if state.epoch or state.epoch_state:
            state.stages_started.add(state.stage)


class TrainStateFiles(StateFiles):
    """The state files of one run, in its output folder. `newest` is the last one written, or the one that the run was
    resumed from."""

    def __init__(
        self, output_dir: Path, inputs: InputDigests, control: Control, resume: ResumeFrom | None, report: Report
    ) -> None:
        self.writer = BackgroundWriter(report)
        super().__init__(output_dir, control)
        self._inputs = inputs
        self._newest = resume.state if resume else None

    def write(self, state: TrainState, context: RunContext) -> StateSaved:
        """Join `writer`, then write `state-STEPS.pth`. Raises what `snapshot`, its writing and the writer raise."""
        self.writer.join()
        return self.snapshot(state, context)(state.checkpoint)

    @profiled("state")
    def snapshot(self, state: TrainState, context: RunContext) -> Callable[[Checkpoint | None], StateSaved]:
        """Copy the state as it is now. Returns a function that writes the copy to `state-STEPS.pth`, which loads with
        weights_only=True; it can be called in any thread, takes the best epoch's checkpoint and raises DiskFull.

        Raises NotFinite.
        """
        state.refuse_not_finite()
        progress = context.progress
        content = {
            "format_version": FORMAT_VERSION,
            "inputs": asdict(self._inputs),
            "before": asdict(state.before),
            "stage": state.stage,
            "epoch": state.epoch,
            "steps_done": state.steps_done,
            "running": None if state.epoch_state is None else state.epoch_state.state_dict(),
            "work_done": progress.done,  # version 0.2 reads it
            "progress": progress.share,
            "backbone": plain(state.backbone.state_dict()),
            "optimization": state.optimizers.state_dict(),
            "generator": state.generator.get_state(),
            "best": state.best.saved(),
            "micro_batch_size": state.micro_batch_size,
            "learning_rate_scale": state.learning_rate_scale,
            "collapse_told": state.collapse_warned,
            "fp16_overflowed": state.fp16_overflowed,
            "epochs_told": [epoch.model_dump(exclude_unset=True) for epoch in state.epochs_reported],
        }
        for objective in state.objectives.values():
            content |= objective.state_dict()
        bytes_, path = saved_bytes(content), self.new_path(state.steps_done)
        describe = partial(
            StateSaved,
            stage=state.stage,
            epoch=state.epoch,
            step=state.step,
            steps_done=state.steps_done,
            progress=progress.share,
        )
        self.restart_clock()

        def write(best: Checkpoint | None) -> StateSaved:
            file = write_whole(path, bytes_, self._control)
            self._newest = file.path
            return describe(file=file, best=best)

        return write

    def newest(self) -> SavedState:
        """Join `writer`, then read the newest state. Raises what the writer raised, and WeightsUnreadable where the
        file is gone."""
        self.writer.join()
        assert self._newest is not None, "a training saves its state before its first step"  # noqa: S101
        return SavedState(self._newest)


def _measurement(saved: Mapping[str, Any]) -> Measurement:
    """From `asdict` of one."""
    separation = saved["separation"]
    return Measurement(
        Recognition(**saved["recognition"]),
        None if separation is None else Separation(**separation),
    )
