"""Checks the inputs of a fine-tuning as far as possible without a GPU."""

from app.datasets.records import DatasetRecords, RecordedPart
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, paired_hr, scan_dataset
from app.finetune.dataset_warnings import training_warnings
from app.finetune.leaks import AllowedLeaks
from app.finetune.split_summary import SplitSummary, unknown_subjects
from app.finetune.summarize import summarize
from app.inputs.dataset_checks import BOTH_FOLDERS, CheckedInputs, refuse_known
from app.inputs.training_inputs import TrainingInputs, refuse_train_as_val
from app.inputs.weights_file import check_edgeface, check_enlarging


def check_finetuning(config: FinetuneConfig, inputs: TrainingInputs, records: DatasetRecords) -> CheckedInputs:
    """Refuse what would fail after queueing, as far as file names, weights and earlier checks of the images tell.

    Raises TrainIsVal, DataError or WeightsError.
    """
    refuse_train_as_val(config, inputs)
    of_weights = check_edgeface(inputs.edgeface)
    if inputs.dsr is not None:
        of_weights += check_enlarging(inputs.dsr, config.vlr_size)
    train, val = records.read(train_dir=inputs.train_dir, val_dir=inputs.val_dir)
    of_names = training_warnings(*_summaries(config, train, val))
    found = refuse_known(
        {"train": train, "val": val},
        read={"train": BOTH_FOLDERS if config.needs_train_hr else (VLR_FOLDER,), "val": (VLR_FOLDER, HR_FOLDER)},
        compared=BOTH_FOLDERS,
        allowed=AllowedLeaks(config.allowed_leaks),
    )
    return CheckedInputs([*of_weights, *of_names, *found], [train.for_job(), val.for_job()])


def _summaries(config: FinetuneConfig, train: RecordedPart, val: RecordedPart) -> tuple[SplitSummary, SplitSummary]:
    """Raises the errors of `scan_dataset` and `paired_hr`."""
    if train.summary is not None and val.summary is not None and _trainable(train.summary, val.summary, config):
        return train.summary, val.summary
    scan = scan_dataset(train.directory, val.directory, train.pattern, val.pattern, train.roots)
    if config.needs_train_hr:
        paired_hr(scan.train)
    return summarize(scan.train), summarize(scan.val)


def _trainable(train: SplitSummary, val: SplitSummary, config: FinetuneConfig) -> bool:
    """Return whether `scan_dataset` and `paired_hr` would accept the dataset."""
    return (
        len(train.vlr_subjects) >= 2
        and min(val.vlr_images, val.hr_images) > 0
        and (val.comparable or not unknown_subjects(train, val))
        and not (config.needs_train_hr and train.without_hr.count)
    )
