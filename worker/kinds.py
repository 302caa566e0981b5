"""How a worker runs each kind of job: the third part of the table in app/finetune/job_kinds.py."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.finetune.job_kinds import DRY_RUN, DSR_TRAINING, EVALUATION, FINETUNING
from app.inputs.evaluation import EvaluationInputs
from app.inputs.training_inputs import TrainingInputs
from worker.messages import JobFiles
from worker.space import (
    SpaceNeeded,
    space_for_dry_run,
    space_for_dsr_training,
    space_for_evaluation,
    space_for_finetuning,
)
from worker.training.storage.paths import EvaluationJobFiles, ResumeFrom, TrainingFiles


@dataclass(frozen=True)
class Place:
    """Where an attempt writes, and the saved state that it resumes from."""

    output_dir: Path
    prepared_dir: Path
    resume: ResumeFrom | None


@dataclass(frozen=True, kw_only=True)
class WorkerKind:
    run: str
    """The function that does the work, as "module:name": `run(config, files, report, control)`. It reports its result
    as its last event, or `Stopped`. Raises EdgefaceError."""
    files: Callable[[Any, Place], JobFiles]
    """The second argument of `run`, from the job's inputs (see app/inputs/kinds.py)."""
    space: Callable[[Any, Any, bool], SpaceNeeded]
    """From the config, its inputs, and whether an earlier attempt prepared the faces. Raises DataError."""
    resumable: bool = True
    """Whether `run` saves states that another attempt resumes from."""
    predicts_duration: bool = False

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]


def _training_files(inputs: TrainingInputs, place: Place) -> TrainingFiles:
    return TrainingFiles(**vars(inputs), **vars(place))


def _evaluation_files(inputs: EvaluationInputs, place: Place) -> EvaluationJobFiles:
    return EvaluationJobFiles(**vars(inputs), output_dir=place.output_dir)


WORKER_KINDS: dict[str, WorkerKind] = {
    FINETUNING: WorkerKind(
        run="worker.training.finetune:finetune",
        files=_training_files,
        space=space_for_finetuning,
        predicts_duration=True,
    ),
    DRY_RUN: WorkerKind(
        run="worker.training.estimation.dry_run:dry_run",
        files=_training_files,
        space=space_for_dry_run,
        resumable=False,
    ),
    EVALUATION: WorkerKind(
        run="worker.training.evaluation.job:run_evaluation",
        files=_evaluation_files,
        space=space_for_evaluation,
        resumable=False,
    ),
    DSR_TRAINING: WorkerKind(
        run="worker.training.super_resolution.train_dsr:train_dsr",
        files=_training_files,
        space=space_for_dsr_training,
    ),
}
"""By `Kind.name`."""
