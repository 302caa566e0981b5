"""Trainings for the checks: one held before its first step of stage 2, whose loop is the product's; and whole ones."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.config import BICUBIC
from app.finetune.events import EpochFinished, Finished, RecognitionMeasured, StepChosen, StepWay, TrainingEvent
from app.finetune.image_file import paths_of
from benchmarks.gpu_check.check import Check
from benchmarks.training.data import Inputs, config, write_inputs
from worker.training.data.loader import Batch
from worker.training.data.preprocess import enlarge_bicubic, enlarge_images
from worker.training.data.val_faces import ValFaces
from worker.training.estimation.evaluation_cost import unknown_embeddings
from worker.training.finetune import finetune
from worker.training.loop.context import RunContext
from worker.training.loop.graphs import GraphedForwardBackward
from worker.training.loop.loss_scaler import FIRST_SCALE
from worker.training.loop.optimizers import Optimizers
from worker.training.loop.setup import RunFaces, build_run, load
from worker.training.loop.state import TrainState
from worker.training.loop.train_epoch import remaining_batches, step_of, train_epoch
from worker.training.loop.train_state_file import TrainStateFiles
from worker.training.objectives.objective import Loss
from worker.training.runtime.control import Control
from worker.training.runtime.phase_timer import PhaseTimer
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import digest_inputs
from worker.training.storage.paths import ResumeFrom, TrainingFiles

PRECISIONS = {"off": "float32", "bf16": "bf16", "fp16": "fp16"}
"""The values of `mixed_precision`, and their names."""

_NEVER = float("inf")


@dataclass(frozen=True)
class Training:
    """One before a step of stage 2."""

    context: RunContext
    state: TrainState
    state_files: TrainStateFiles
    events: list[TrainingEvent]

    def train_epoch(self) -> None:
        """By the product's own loop."""
        self.state.epoch_state = None
        train_epoch(self.context, self.state, self.state_files)

    def losses(self) -> list[float]:
        """The mean loss of each step of an epoch, which it trains."""
        sums = [0.0]
        self.context.step_listeners.append(lambda: sums.append(self._epoch_loss()))
        self.train_epoch()
        self.context.step_listeners.clear()
        return [(after - before) / self.context.config.batch_size for before, after in itertools.pairwise(sums)]

    @property
    def skipped(self) -> int:
        """The steps that fp16 skipped, each of which halved the loss scale."""
        scaler = self.state.optimizers.scaler
        return round(math.log2(FIRST_SCALE / scaler.factor)) if scaler.enabled else 0

    def first_batch(self) -> Batch:
        """Of a new epoch."""
        self.state.epoch_state = None
        return next(iter(remaining_batches(self.context, self.state, self.state.start_epoch(self.context))))

    def gradients(self) -> list[Tensor]:
        """Those of the first batch, float32 on the CPU. No weight changes, but the numbers of an epoch are drawn."""
        batch = self.first_batch()
        return gradients_of(self.state.optimizers, step_of(self.context, self.state), batch)

    def require_way(self, check: Check, wanted: StepWay, what: str) -> str:
        """Require that the last step was computed the `wanted` way. The way that it was, and the precision: the name
        for rows about `what` was computed."""
        chosen = [event for event in self.events if isinstance(event, StepChosen)]
        way: StepWay = chosen[-1].way if chosen else "eager"  # as on a CPU, which has no other way
        precision = PRECISIONS[self.context.config.mixed_precision]
        reason = chosen[-1].reason[:200] if chosen else "no way was chosen"
        check.require(f"{wanted}, {precision}: way of the {what}", way == wanted, f"{way}: {reason}")
        return f"{way}, {precision}"

    def _epoch_loss(self) -> float:
        assert self.state.epoch_state is not None
        return self.state.epoch_state.loss_sum.item()


def gradients_of(optimizers: Optimizers, forward_backward: Callable[[Batch], list[Loss]], batch: Batch) -> list[Tensor]:
    """Of the mean loss, float32 on the CPU. No weight changes."""
    optimizers.zero_grad()
    forward_backward(batch)
    scale = optimizers.scaler.factor
    return [p.grad.float().cpu() / scale for p in optimizers.parameters if p.grad is not None]


def write_faces(check: Check, *, subjects: int, train_images: int) -> Inputs:
    """Faces of 16 px, two images of each subject in val, and weights: real ones where `assets` has them."""
    settings = config(stage1_epochs=0, stage2_epochs=1).model_copy(
        update={
            "allowed_leaks": ("*",),
            "backbone_lr": 1e-4,
            "batch_size": check.pick(32, 4),
            "device": str(check.device),
            "dsr": BICUBIC,
            "num_workers": 2,
        }
    )
    folder = check.folder / "faces"
    return write_inputs(folder, settings, subjects=subjects, train_images=train_images, assets=check.assets)


def hold_training(inputs: Inputs, *, repeats: int = 1, graphs: bool = True, **changes: object) -> Training:
    """A training before its first step, with `changes` of the config. Each face is there `repeats` times. Without
    `graphs` a GPU computes each step eagerly."""
    settings = inputs.config.model_copy(update=changes)
    output = inputs.folder / "held"
    output.mkdir(exist_ok=True)
    files, control = inputs.files(output), Control(save_every_seconds=_NEVER, predict_duration=False)
    loaded = load(settings, files, control, PhaseTimer())
    scan, progress = loaded.scan, Progress(_unheard)
    probes, gallery = _enlarged(paths_of(scan.val.vlr_images)), _enlarged(paths_of(scan.val.hr_images))
    val = ValFaces(probes, scan.val.vlr_images, gallery, scan.val.hr_images, scan.subject_to_id)
    faces = RunFaces(
        _enlarged(paths_of(scan.train.vlr_images)).repeat(repeats, 1, 1, 1), loaded.labels().repeat(repeats), val
    )
    before = unknown_embeddings(val, loaded.device).measure()
    events: list[TrainingEvent] = []
    context, state = build_run(settings, loaded, faces, before, events.append, progress, control)
    state.backbone.train()
    if not graphs:
        state.graphs = GraphedForwardBackward(
            events.append, 2, context.captures, scaled=True
        )  # as with fp16, for which there are none
    digests = digest_inputs(files, scan, settings.num_workers, control)
    return Training(context, state, TrainStateFiles(output, digests, control, None, _unheard), events)


@dataclass(frozen=True)
class Trained:
    """A whole training. `losses` are those of its epochs."""

    files: TrainingFiles
    events: tuple[TrainingEvent, ...]

    @property
    def losses(self) -> list[float]:
        return [event.train_loss for event in self.events if isinstance(event, EpochFinished)]


def train_whole(inputs: Inputs, name: str, *, resume: ResumeFrom | None = None, **changes: object) -> Trained:
    """A fine-tuning with `changes` of the config, which writes into a folder called `name`. It ends before its
    evaluation."""
    output = inputs.folder / name
    files = TrainingFiles(**{**vars(inputs.files(output)), "resume": resume})
    events: list[TrainingEvent] = []
    control = Control(save_every_seconds=_NEVER, predict_duration=False)

    def hear(event: TrainingEvent) -> None:
        events.append(event)
        if isinstance(event, RecognitionMeasured) and event.when == "after":
            control.stop.set()

    settings = inputs.config.model_copy(update={"stage1_epochs": 1, "stage2_epochs": 2, **changes})
    finetune(settings, files, hear, control)
    return Trained(files, tuple(events))


def is_evaluated(event: object) -> bool:
    """Whether it is the last event of a job whose evaluation was made: one that fails is a warning of the job."""
    return isinstance(event, Finished) and event.evaluated is not None


def distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """|found - wanted| / |wanted|, over all tensors together; infinity where a number is not finite."""
    squared = _square(a.double() - b.double() for a, b in zip(found, wanted, strict=True))
    relative = math.sqrt(squared / max(_square(b.double() for b in wanted), 1e-300))
    return relative if math.isfinite(relative) else math.inf


def worst_ratio(found: Sequence[float], wanted: Sequence[float]) -> float:
    """The largest |found - wanted| / |wanted|; infinity where a number is not finite."""
    ratios = [abs(a - b) / max(abs(b), 1e-12) for a, b in zip(found, wanted, strict=True)]
    return max(ratios) if all(map(math.isfinite, ratios)) else math.inf


def in_words(losses: Iterable[float]) -> str:
    return " ".join(f"{loss:.4f}" for loss in losses)


def _enlarged(paths: tuple[Path, ...]) -> Tensor:
    return torch.cat([faces.pixels_u8 for faces in enlarge_images(paths, enlarge_bicubic, threads=2)])


def _square(tensors: Iterable[Tensor]) -> float:
    return sum(float(tensor.square().sum()) for tensor in tensors)


def _unheard(_: object) -> None: ...
