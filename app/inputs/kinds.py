"""How the inputs of each kind of job are found and checked: the second part of the table in
app/finetune/job_kinds.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session

from app.datasets.manifests import manifest_file
from app.datasets.records import DatasetRecords
from app.finetune.config import FinetuneConfig
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import JobConfig
from app.finetune.job_dataset import JobDataset
from app.finetune.model_export_config import ModelExportConfig
from app.finetune.part_reading import PartReading
from app.finetune.subject_patterns import SubjectPattern
from app.inputs.dataset_check import check_dataset_check, find_dataset_check_inputs
from app.inputs.dataset_checks import CheckedInputs
from app.inputs.dataset_import import check_dataset_import, find_dataset_import_inputs
from app.inputs.dsr_training import check_dsr_training
from app.inputs.evaluation import check_evaluation, find_evaluation_inputs
from app.inputs.finetuning import check_finetuning
from app.inputs.model_export import check_model_export, find_model_export_inputs
from app.inputs.training_inputs import find_training_inputs
from app.settings import Settings


@dataclass(frozen=True)
class InputsOfConfig:
    find: Callable[[Any, Settings, Session], Any]
    """From the config. Raises OutsideRoots, DatasetNotFound or what `find_weights` raises."""
    check: Callable[[Any, Any, DatasetRecords], CheckedInputs]
    """From the config and the inputs that `find` returned. Raises the errors of the inputs."""


INPUTS: dict[type[JobConfig], InputsOfConfig] = {
    FinetuneConfig: InputsOfConfig(find_training_inputs, check_finetuning),
    EvaluationConfig: InputsOfConfig(find_evaluation_inputs, check_evaluation),
    DsrTrainingConfig: InputsOfConfig(find_training_inputs, check_dsr_training),
    DatasetCheckConfig: InputsOfConfig(find_dataset_check_inputs, check_dataset_check),
    DatasetImportConfig: InputsOfConfig(find_dataset_import_inputs, check_dataset_import),
    ModelExportConfig: InputsOfConfig(find_model_export_inputs, check_model_export),
}


def find_inputs(config: JobConfig, settings: Settings, session: Session) -> Any:
    """Return the folders and files that the config names, in the type of its kind."""
    return INPUTS[type(config)].find(config, settings, session)


def check_inputs(config: JobConfig, inputs: Any, records: DatasetRecords) -> CheckedInputs:
    """Check the inputs that `find_inputs` returned."""
    return INPUTS[type(config)].check(config, inputs, records)


def read_as_submitted(inputs: Any, datasets: Sequence[JobDataset], settings: Settings) -> Any:
    """Return the inputs with the readings that the job was submitted with. A manifest that is gone compares nothing.

    Raises SubjectPatternInvalid for a pattern that only a later version has.
    """
    readings = {each.field.removesuffix("_dir") + "_reading": _reading(each, settings) for each in datasets}
    return replace(inputs, **readings) if readings else inputs


def _reading(dataset: JobDataset, settings: Settings) -> PartReading:
    manifest: Path | None = None
    if dataset.manifest is not None:
        kept = manifest_file(settings.artifacts_dir, dataset.manifest)
        manifest = kept if kept.is_file() else None
    return PartReading(SubjectPattern(dataset.subject_pattern), manifest, dataset.name, dataset.part)
