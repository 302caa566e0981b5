"""Checks the inputs of the training of a DSR network."""

from app.datasets.records import DatasetRecords
from app.finetune.dataset import HR_FOLDER, check_comparable, scan_hr
from app.finetune.dsr_config import LARGEST_OUTPUT, DsrTrainingConfig
from app.finetune.leaks import AllowedLeaks
from app.finetune.network_limits import refuse_too_large
from app.inputs.dataset_checks import CheckedInputs, refuse_known
from app.inputs.errors import DsrTooLarge
from app.inputs.training_inputs import TrainingInputs, refuse_train_as_val
from app.inputs.weights_file import check_dsr, check_edgeface


def check_dsr_training(config: DsrTrainingConfig, inputs: TrainingInputs, records: DatasetRecords) -> CheckedInputs:
    """Refuse what would fail after queueing, as far as file names, weights and earlier checks of the images tell.

    Raises TrainIsVal, DataError, WeightsError or DsrTooLarge.
    """
    refuse_train_as_val(config, inputs)
    of_weights = check_edgeface(inputs.edgeface)
    if inputs.dsr is None:
        refuse_too_large(config.layout, config.vlr_sizes, "the new network")
    else:
        layout, of_dsr = check_dsr(inputs.dsr)
        of_weights += of_dsr
        largest = 0 if layout is None else max(config.vlr_sizes) * layout.enlargement
        if largest > LARGEST_OUTPUT:
            raise DsrTooLarge(max(config.vlr_sizes), largest, LARGEST_OUTPUT)
        if layout is not None:
            refuse_too_large(layout, config.vlr_sizes, inputs.dsr)
    train, val = records.read(train_dir=inputs.train_dir, val_dir=inputs.val_dir)
    if not (train.summary and train.summary.hr_images and val.summary and val.summary.hr_comparable):
        scan_hr(train.directory, train.pattern, train.roots)
        check_comparable(scan_hr(val.directory, val.pattern, val.roots))
    found = refuse_known(
        {"train": train, "val": val},
        read={"train": (HR_FOLDER,), "val": (HR_FOLDER,)},
        compared=(HR_FOLDER,),
        allowed=AllowedLeaks(config.allowed_leaks),
    )
    return CheckedInputs([*of_weights, *found], [train.for_job(), val.for_job()])
