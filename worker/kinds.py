"""How a worker runs each kind of job: the third part of the table in app/finetune/job_kinds.py."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.finetune.checked_copy import Copies
from app.finetune.job_kinds import (
    DATASET_CHECK,
    DATASET_IMPORT,
    DRY_RUN,
    DSR_TRAINING,
    EVALUATION,
    FINETUNING,
    MODEL_EXPORT,
)
from app.inputs.dataset_check import DatasetCheckInputs
from app.inputs.dataset_import import DatasetImportInputs
from app.inputs.evaluation import EvaluationInputs
from app.inputs.model_export import ModelExportInputs
from app.inputs.training_inputs import TrainingInputs
from worker.dataset_check.files import DatasetCheckFiles
from worker.dataset_import.files import DatasetImportFiles
from worker.gpu.leases import MemoryNeed
from worker.gpu_memory import (
    gpu_memory_for_dataset_check,
    gpu_memory_for_dataset_import,
    gpu_memory_for_dsr_training,
    gpu_memory_for_evaluation,
    gpu_memory_for_finetuning,
    gpu_memory_for_model_export,
)
from worker.messages import JobFiles
from worker.model_export.files import ModelExportFiles
from worker.space import (
    SpaceNeeded,
    space_for_dataset_check,
    space_for_dataset_import,
    space_for_dry_run,
    space_for_dsr_training,
    space_for_evaluation,
    space_for_finetuning,
    space_for_model_export,
)
from worker.training.storage.paths import EvaluationJobFiles, ResumeFrom, TrainingFiles


@dataclass(frozen=True)
class Place:
    """Where an attempt of a job writes, and the saved state that it resumes from. `compiled_dir` and `copies` as in
    TrainingFiles."""

    output_dir: Path
    prepared_dir: Path
    resume: ResumeFrom | None
    job: str | None = None
    compiled_dir: Path | None = None
    copies: Copies | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerKind:
    run: str
    """The function that does the work, as "module:name": `run(config, files, report, control)`. It reports its result
    as its last event, or `Stopped`. Raises EdgefaceError."""
    files: Callable[[Any, Place], JobFiles]
    """The second argument of `run`, from the job's inputs (see app/inputs/kinds.py)."""
    space: Callable[[Any, Any, bool], SpaceNeeded]
    """From the config, its inputs, and whether an earlier attempt prepared the faces. Raises DataError."""
    gpu_memory: Callable[[Any, Any], MemoryNeed]
    """Of a GPU's memory, from the config and its inputs. Raises OSError."""
    resumable: bool = True
    """Whether `run` saves states that another attempt resumes from."""
    predicts_duration: bool = False

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]


def _training_files(inputs: TrainingInputs, place: Place) -> TrainingFiles:
    return TrainingFiles(**vars(inputs), **vars(place))


def _evaluation_files(inputs: EvaluationInputs, place: Place) -> EvaluationJobFiles:
    return EvaluationJobFiles(**vars(inputs), output_dir=place.output_dir, job=place.job, copies=place.copies)


def _dataset_check_files(inputs: DatasetCheckInputs, place: Place) -> DatasetCheckFiles:
    return DatasetCheckFiles(
        **vars(inputs), output_dir=place.output_dir, prepared_dir=place.prepared_dir, copies=place.copies
    )


def _dataset_import_files(inputs: DatasetImportInputs, place: Place) -> DatasetImportFiles:
    return DatasetImportFiles(**vars(inputs), output_dir=place.output_dir, job=place.job or "")


def _model_export_files(inputs: ModelExportInputs, place: Place) -> ModelExportFiles:
    return ModelExportFiles(inputs.edgeface, place.output_dir, place.job or "", place.copies)


WORKER_KINDS: dict[str, WorkerKind] = {
    FINETUNING: WorkerKind(
        run="worker.training.finetune:finetune",
        files=_training_files,
        space=space_for_finetuning,
        gpu_memory=gpu_memory_for_finetuning,
        predicts_duration=True,
    ),
    DRY_RUN: WorkerKind(
        run="worker.training.estimation.dry_run:dry_run",
        files=_training_files,
        space=space_for_dry_run,
        gpu_memory=gpu_memory_for_finetuning,
        resumable=False,
    ),
    EVALUATION: WorkerKind(
        run="worker.training.evaluation.job:run_evaluation",
        files=_evaluation_files,
        space=space_for_evaluation,
        gpu_memory=gpu_memory_for_evaluation,
        resumable=False,
    ),
    DATASET_CHECK: WorkerKind(
        run="worker.dataset_check.run:check_dataset",
        files=_dataset_check_files,
        space=space_for_dataset_check,
        gpu_memory=gpu_memory_for_dataset_check,
        resumable=False,
    ),
    DATASET_IMPORT: WorkerKind(
        run="worker.dataset_import.run:import_dataset",
        files=_dataset_import_files,
        space=space_for_dataset_import,
        gpu_memory=gpu_memory_for_dataset_import,
        resumable=False,
    ),
    DSR_TRAINING: WorkerKind(
        run="worker.training.super_resolution.train_dsr:train_dsr",
        files=_training_files,
        space=space_for_dsr_training,
        gpu_memory=gpu_memory_for_dsr_training,
    ),
    MODEL_EXPORT: WorkerKind(
        run="worker.model_export.run:export_model",
        files=_model_export_files,
        space=space_for_model_export,
        gpu_memory=gpu_memory_for_model_export,
        resumable=False,
    ),
}
"""By `Kind.name`."""
