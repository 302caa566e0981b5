"""How the inputs of each kind of job are found and checked: the second part of the table in
app/finetune/job_kinds.py."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import JobConfig
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.dsr_training import check_dsr_training
from app.inputs.evaluation import check_evaluation, find_evaluation_inputs
from app.inputs.finetuning import check_finetuning
from app.inputs.training_inputs import find_training_inputs
from app.settings import Settings


@dataclass(frozen=True)
class InputsOfConfig:
    find: Callable[[Any, Settings, Session], Any]
    """From the config. Raises OutsideRoots, DatasetNotFound or what `find_weights` raises."""
    check: Callable[[Any, Any, DatasetChecks], list[JobWarning]]
    """From the config and the inputs that `find` returned. Raises the errors of the inputs, returns their warnings."""


INPUTS: dict[type[JobConfig], InputsOfConfig] = {
    FinetuneConfig: InputsOfConfig(find_training_inputs, check_finetuning),
    EvaluationConfig: InputsOfConfig(find_evaluation_inputs, check_evaluation),
    DsrTrainingConfig: InputsOfConfig(find_training_inputs, check_dsr_training),
}


def find_inputs(config: JobConfig, settings: Settings, session: Session) -> Any:
    """Return the folders and files that the config names, in the type of its kind."""
    return INPUTS[type(config)].find(config, settings, session)


def check_inputs(config: JobConfig, inputs: Any, checks: DatasetChecks) -> list[JobWarning]:
    """Check the inputs that `find_inputs` returned."""
    return INPUTS[type(config)].check(config, inputs, checks)
