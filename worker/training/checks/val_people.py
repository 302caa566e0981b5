"""Whom val shows, and what it has been used for: what its figures are worth."""

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import DatasetScan, JobWarning, subject_of


def val_people_warnings(scan: DatasetScan, config: FinetuneConfig) -> list[JobWarning]:
    """That people of val were trained on, if any were; and that the best epoch was chosen by val, if it was."""
    subjects = {subject_of(path.name) for path in (*scan.val.vlr_images, *scan.val.hr_images)}
    known = len(subjects & scan.subject_to_id.keys())
    warnings = []
    if known:
        warnings.append(
            JobWarning(
                code="val_subjects_trained_on",
                message=f"{known} of {len(subjects)} subjects of val were trained on: val says how well people are "
                "recognised whom the backbone has learned, and strangers are recognised less well",
            )
        )
    if config.keep == "best":
        warnings.append(
            JobWarning(
                code="val_chose_the_epoch",
                message="the best epoch was chosen on these very faces of val, so its figures flatter it; people that "
                "neither train nor val shows tell more: `edgeface-finetune evaluate`, POST /evaluations",
            )
        )
    return warnings
