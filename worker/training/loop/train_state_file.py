"""The train state as a file that a later training resumes from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from app.finetune.events import CheckpointWritten, EpochFinished, Recognition, Report, Stage, StateSaved
from worker.training.checkpoints.best_model import plain
from worker.training.checkpoints.state_file import StateContent, StateFiles
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import restore_epoch
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
    """A fine-tuning's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("format_version", FORMAT_VERSION), InputDigests)
        with self._damage_told():
            self.stage: Stage = 2 if self._content["stage"] == 2 else 1
            self.before = _measurement(self._content["before"])

    def restore(self, state: TrainState, context: RunContext) -> None:
        """Everything as it was when the state was saved, but for the best checkpoint, which is a file of its own.

        Raises WeightsUnreadable where the state does not fit the networks.
        """
        content = self._content
        with self._damage_told():
            state.backbone.load_state_dict(content["backbone"], strict=True)
            state.head.load_state_dict(content["head"], strict=True)
            if state.prototypes is not None:
                state.prototypes.data.copy_(content["people"])
            state.generator.set_state(content["generator"])
            state.best = replace(state.best, **content["best"])
            state.stage, state.epoch = self.stage, content["epoch"]
            state.steps_done = content["steps_done"]
            epoch_state = content["running"]
            state.epoch_state = None if epoch_state is None else restore_epoch(epoch_state, context, state.generator)
            state.micro_batch_size = content["micro_batch_size"]
            state.learning_rate_scale = content["learning_rate_scale"]
            state.collapse_warned = content["collapse_told"]
            # A state of version 0.1 lacks them: its report's curves begin where it was gone on from.
            state.epochs_reported = [EpochFinished(**epoch) for epoch in content.get("epochs_told", [])]
            state.start_optimizer(context)
            state.optimization.load_state_dict(content["optimization"])
            context.progress.go_back(content["work_done"])
        if state.epoch or state.epoch_state:
            state.stages_started.add(state.stage)


class TrainStateFiles(StateFiles):
    """The state files of one training, under its output folder. `newest` is what it goes back to: a file of this
    training, or the one it was resumed from."""

    def __init__(
        self, output_dir: Path, inputs: InputDigests, control: Control, resume: ResumeFrom | None, report: Report
    ) -> None:
        self.writer = BackgroundWriter(report)
        super().__init__(output_dir, control)
        self._inputs = inputs
        self._newest = resume.state if resume else None

    def write(self, state: TrainState, context: RunContext) -> StateSaved:
        """Write `state-STEPS.pth`, once what is written beside is settled. To be told once all is told that it stands
        after. Raises what `snapshot` and its writing raise.
        """
        self.writer.settle()
        return self.snapshot(state, context)(state.checkpoint)

    @profiled("state")
    def snapshot(self, state: TrainState, context: RunContext) -> Callable[[CheckpointWritten | None], StateSaved]:
        """The training as it is now, of which `writer` writes nothing older any more. What is returned writes it to
        `state-STEPS.pth`, which loads with weights_only=True, in any thread; it takes the best epoch's checkpoint and
        raises DiskFull.

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
            "running": None if state.epoch_state is None else state.epoch_state.plain(),
            "work_done": progress.work_done,
            "progress": progress.share,
            "backbone": plain(state.backbone.state_dict()),
            "head": plain(state.head.state_dict()),
            "people": None if state.prototypes is None else state.prototypes.detach().cpu(),
            "optimization": state.optimization.state_dict(),
            "generator": state.generator.get_state(),
            "best": state.best.saved(),
            "micro_batch_size": state.micro_batch_size,
            "learning_rate_scale": state.learning_rate_scale,
            "collapse_told": state.collapse_warned,
            "epochs_told": [epoch.model_dump(exclude_unset=True) for epoch in state.epochs_reported],
        }
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

        def write(best: CheckpointWritten | None) -> StateSaved:
            file = write_whole(path, bytes_, self._control)
            self._newest = file.path
            return describe(file=file, best=best)

        return write

    def newest(self) -> SavedState:
        """What is written beside is settled first. Raises what that raised, and WeightsUnreadable where the file is no
        longer there."""
        self.writer.settle()
        assert self._newest is not None, "a training saves its state before its first step"  # noqa: S101
        return SavedState(self._newest)


def _measurement(saved: Mapping[str, Any]) -> Measurement:
    """Back from `asdict`."""
    separation = saved["separation"]
    return Measurement(
        Recognition(**saved["recognition"]),
        None if separation is None else Separation(**separation),
    )
