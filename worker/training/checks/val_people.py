"""Warnings about the significance of val's figures."""

from app.finetune.config import FinetuneConfig
from app.finetune.counted import by_number, counted
from app.finetune.dataset import DatasetScan, JobWarning


def val_people_warnings(scan: DatasetScan, config: FinetuneConfig) -> list[JobWarning]:
    """Return warnings if people of val were trained on, and if val selected the best epoch."""
    subjects = {image.subject for image in scan.val.images}
    known = len(subjects & scan.subject_to_id.keys())
    warnings = []
    if known:
        warnings.append(
            JobWarning(
                code="val_subjects_trained_on",
                message=f"{known} of {counted(len(subjects), 'subject')} of val {by_number(known, 'was', 'were')} "
                "trained on: val measures the recognition of "
                "people that the backbone has learned, and unseen people are recognised less well",
            )
        )
    if config.keep == "best":
        warnings.append(
            JobWarning(
                code="val_chose_the_epoch",
                message="the best epoch was selected by these val faces, so its figures are optimistic; evaluate "
                "people in neither train nor val: `edgeface-finetune evaluate`, POST /evaluations",
            )
        )
    return warnings
