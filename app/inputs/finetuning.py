"""Checks the inputs of a fine-tuning as far as possible without a GPU."""

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import BICUBIC_ENLARGEMENT, JobWarning, paired_hr, scan_dataset
from app.finetune.leaks import AllowedLeaks
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.training_inputs import TrainingInputs
from app.inputs.weights_file import check_dsr, check_edgeface


def check_finetuning(config: FinetuneConfig, inputs: TrainingInputs, checks: DatasetChecks) -> list[JobWarning]:
    """Refuse what would fail after queueing: file names, images, leaks and weights. Return the warnings.

    Raises DataError or WeightsError.
    """
    check_edgeface(inputs.edgeface)
    if inputs.dsr is not None:
        check_dsr(inputs.dsr)
    scan = scan_dataset(inputs.train_dir, inputs.val_dir)
    train_hr = paired_hr(scan.train) if config.needs_train_hr else ()
    images = [*scan.train.vlr_images, *scan.val.vlr_images, *scan.val.hr_images, *train_hr]
    bicubic = [BICUBIC_ENLARGEMENT] if inputs.dsr is None else []
    warnings = [*scan.warnings, *bicubic, *checks.refuse_unreadable(images)]
    checks.refuse_equal({"train": scan.train, "val": scan.val}, AllowedLeaks(config.allowed_leaks))
    return warnings
