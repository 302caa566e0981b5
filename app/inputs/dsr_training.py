"""Checks the inputs of the training of a DSR network."""

from app.finetune.dataset import JobWarning, comparable, scan_hr
from app.finetune.dsr_config import LARGEST_OUTPUT, DsrTrainingConfig
from app.finetune.errors import NothingToCompare
from app.finetune.leaks import AllowedLeaks
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.errors import DsrTooLarge
from app.inputs.training_inputs import TrainingInputs
from app.inputs.weights_file import check_dsr, check_edgeface


def check_dsr_training(config: DsrTrainingConfig, inputs: TrainingInputs, checks: DatasetChecks) -> list[JobWarning]:
    """Refuse what would fail after queueing. Return the warnings.

    Raises DataError, WeightsError or DsrTooLarge.
    """
    check_edgeface(inputs.edgeface)
    if inputs.dsr is not None and (layout := check_dsr(inputs.dsr)) is not None:
        largest = max(config.vlr_sizes) * layout.enlargement
        if largest > LARGEST_OUTPUT:
            raise DsrTooLarge(max(config.vlr_sizes), largest, LARGEST_OUTPUT)
    train, val = scan_hr(inputs.train_dir), scan_hr(inputs.val_dir)
    if not comparable(val):
        raise NothingToCompare(inputs.val_dir)
    warnings = checks.refuse_unreadable([*train.hr_images, *val.hr_images])
    checks.refuse_equal({"train": train, "val": val}, AllowedLeaks(config.allowed_leaks))
    return warnings
