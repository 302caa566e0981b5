"""All of a training that changes while it trains: in memory, and as a file that a later training goes on from."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.finetune.events import CheckpointWritten, EpochFinished, Recognition, Report, Stage, StateSaved
from worker.training.checkpoints.best_model import plain
from worker.training.checkpoints.state_file import StateContent, StateFiles
from worker.training.loop.context import Course
from worker.training.loop.epoch import RunningEpoch, restore_epoch
from worker.training.loop.optimizers import Optimization, backbone_and_head, head_alone
from worker.training.metrics import Separation
from worker.training.models.edgeface import EdgeFace
from worker.training.objectives.arcface import ArcFace
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.atomic import saved_bytes, write_whole
from worker.training.storage.background import Beside
from worker.training.storage.digests import InputDigests
from worker.training.storage.paths import ResumeFrom
from worker.training.validation.measure import Measurement
from worker.training.validation.validate import Best

FORMAT_VERSION = 1


class NotFinite(Exception):
    """The loss or a weight is NaN or infinity. Caught in recovery.py."""


@dataclass
class Training:
    """`epoch` epochs of `stage` are finished; `running` is the next, None before its first step. `checkpoint` is that
    of the best epoch. `people` [P, 512] are the student's embeddings of those whom the teacher knows, which learn in
    place of the head; None without a teacher. `learning_rate_scale` is below 1 once the training was rolled back."""

    backbone: EdgeFace
    head: ArcFace
    generator: torch.Generator
    before: Measurement
    best: Best
    micro_batch_size: int
    stage: Stage
    optimization: Optimization
    people: nn.Parameter | None = None
    checkpoint: CheckpointWritten | None = None
    epoch: int = 0
    steps_done: int = 0
    running: RunningEpoch | None = None
    learning_rate_scale: float = 1.0
    collapse_told: bool = False
    stages_told: set[Stage] = field(default_factory=set)
    epochs_told: list[EpochFinished] = field(default_factory=list)

    @property
    def step(self) -> int:
        """Optimizer steps done in the running epoch."""
        return 0 if self.running is None else self.running.step

    def start_optimization(self, course: Course) -> None:
        """The stage's optimizer, before its first step."""
        self.optimization = optimization_of(
            self.stage, course, self.backbone, self.head, self.people, scale=self.learning_rate_scale
        )

    def refuse_not_finite(self) -> None:
        """Raises NotFinite where a weight, or the loss of any step of the running epoch, is NaN or infinity."""
        numbers: list[Tensor] = [*self.backbone.parameters(), *self.head.parameters()]
        if self.people is not None:
            numbers.append(self.people)
        if self.running is not None:
            numbers.append(self.running.loss_sum)
        if not torch.stack([number.isfinite().all() for number in numbers]).all():
            raise NotFinite


def begin(
    course: Course, backbone: EdgeFace, head: ArcFace, generator: torch.Generator, before: Measurement
) -> Training:
    """A training before its first step."""
    config = course.config
    stage: Stage = 1 if config.stage1_epochs else 2
    people = None
    if course.teaching is not None:
        people = nn.Parameter(course.teaching.people_PD.clone())
        if stage == 2:  # The real ones are the head, in the same memory.
            head.weight.data = people.data[course.teaching.invented_people :]
    return Training(
        backbone=backbone,
        head=head,
        generator=generator,
        before=before,
        best=Best(course.selection, keeps_last=config.keep == "last"),
        micro_batch_size=min(config.batch_size, len(course.labels_N)),
        stage=stage,
        optimization=optimization_of(stage, course, backbone, head, people, scale=1.0),
        people=people,
    )


def optimization_of(
    stage: Stage, course: Course, backbone: EdgeFace, head: ArcFace, people: nn.Parameter | None, *, scale: float
) -> Optimization:
    """A stage's optimizer before its first step. In stage 2 the head rests where there are `people`."""
    device, scaled, config = course.device.type, course.precision.scaled, course.config
    if stage == 1:
        return head_alone(head, config, scale=scale, device=device, scaled=scaled)
    steps = config.stage2_epochs * course.steps_per_epoch
    classes = head.parameters() if people is None else [people]
    return backbone_and_head(backbone, classes, config, steps=steps, scale=scale, device=device, scaled=scaled)


class SavedState(StateContent[InputDigests]):
    """A fine-tuning's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("format_version", FORMAT_VERSION), InputDigests)
        with self._damage_told():
            self.stage: Stage = 2 if self._content["stage"] == 2 else 1
            self.before = _measurement(self._content["before"])

    def restore(self, training: Training, course: Course) -> None:
        """Everything as it was when the state was saved, but for the best checkpoint, which is a file of its own.

        Raises WeightsUnreadable where the state does not fit the networks.
        """
        content = self._content
        with self._damage_told():
            training.backbone.load_state_dict(content["backbone"], strict=True)
            training.head.load_state_dict(content["head"], strict=True)
            if training.people is not None:
                training.people.data.copy_(content["people"])
            training.generator.set_state(content["generator"])
            training.best = replace(training.best, **content["best"])
            training.stage, training.epoch = self.stage, content["epoch"]
            training.steps_done = content["steps_done"]
            running = content["running"]
            training.running = None if running is None else restore_epoch(running, course, training.generator)
            training.micro_batch_size = content["micro_batch_size"]
            training.learning_rate_scale = content["learning_rate_scale"]
            training.collapse_told = content["collapse_told"]
            # A state of version 0.1 lacks them: its report's curves begin where it was gone on from.
            training.epochs_told = [EpochFinished(**epoch) for epoch in content.get("epochs_told", [])]
            training.start_optimization(course)
            training.optimization.load_state_dict(content["optimization"])
            course.progress.go_back(content["work_done"])
        if training.epoch or training.running:
            training.stages_told.add(training.stage)


class States(StateFiles):
    """The state files of one training, under its output folder. `newest` is what it goes back to: a file of this
    training, or the one it was resumed from."""

    def __init__(
        self, output_dir: Path, inputs: InputDigests, control: Control, resume: ResumeFrom | None, report: Report
    ) -> None:
        self.beside = Beside(report)
        super().__init__(output_dir, control)
        self._inputs = inputs
        self._newest = resume.state if resume else None

    def write(self, training: Training, course: Course) -> StateSaved:
        """Write `state-STEPS.pth`, once what is written beside is settled. To be told once all is told that it stands
        after. Raises what `snapshot` and its writing raise.
        """
        self.beside.settle()
        return self.snapshot(training, course)(training.checkpoint)

    @profiled("state")
    def snapshot(self, training: Training, course: Course) -> Callable[[CheckpointWritten | None], StateSaved]:
        """The training as it is now, of which `beside` writes nothing older any more. What is returned writes it to
        `state-STEPS.pth`, which loads with weights_only=True, in any thread; it takes the best epoch's checkpoint and
        raises DiskFull.

        Raises NotFinite.
        """
        training.refuse_not_finite()
        progress = course.progress
        content = {
            "format_version": FORMAT_VERSION,
            "inputs": asdict(self._inputs),
            "before": asdict(training.before),
            "stage": training.stage,
            "epoch": training.epoch,
            "steps_done": training.steps_done,
            "running": None if training.running is None else training.running.plain(),
            "work_done": progress.work_done,
            "progress": progress.share,
            "backbone": plain(training.backbone.state_dict()),
            "head": plain(training.head.state_dict()),
            "people": None if training.people is None else training.people.detach().cpu(),
            "optimization": training.optimization.state_dict(),
            "generator": training.generator.get_state(),
            "best": training.best.saved(),
            "micro_batch_size": training.micro_batch_size,
            "learning_rate_scale": training.learning_rate_scale,
            "collapse_told": training.collapse_told,
            "epochs_told": [asdict(epoch) for epoch in training.epochs_told],
        }
        bytes_, path = saved_bytes(content), self.new_path(training.steps_done)
        describe = partial(
            StateSaved,
            stage=training.stage,
            epoch=training.epoch,
            step=training.step,
            steps_done=training.steps_done,
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
        self.beside.settle()
        assert self._newest is not None, "a training saves its state before its first step"  # noqa: S101
        return SavedState(self._newest)


def _measurement(saved: Mapping[str, Any]) -> Measurement:
    """Back from `asdict`."""
    separation = saved["separation"]
    return Measurement(
        Recognition(**saved["recognition"]),
        None if separation is None else Separation(**separation),
    )
