"""Warnings about the file names of a dataset."""

from collections.abc import Iterable

from app.finetune.counted import by_number, counted
from app.finetune.dataset import DatasetScan, Split
from app.finetune.dataset_errors import near_clause
from app.finetune.errors import name_some
from app.finetune.job_warning import JobWarning
from app.finetune.split_summary import SplitSummary, unknown_subjects
from app.finetune.subject_groups import subject_groups_warning
from app.finetune.summarize import summarize


def scan_warnings(scan: DatasetScan) -> Iterable[JobWarning]:
    """Return the warnings about train and val."""
    return training_warnings(summarize(scan.train), summarize(scan.val))


def split_warnings(split: Split, name: str) -> Iterable[JobWarning]:
    """Return the warnings about a split called `name`."""
    return summary_warnings(summarize(split), name)


def training_warnings(train: SplitSummary, val: SplitSummary) -> Iterable[JobWarning]:
    """Return the warnings about train and val."""
    # A val of other people, or of the same, is a choice, which the event `prepared` notes.
    if 0 < len(unknown := unknown_subjects(train, val)) < len(val.vlr_subjects):
        yield _mixed_warning(unknown, len(val.vlr_subjects))
    yield from summary_warnings(train, "train")
    yield from summary_warnings(val, "val")
    if singles := sorted(subject for subject, count in train.vlr_subjects.items() if count == 1):
        yield JobWarning(
            code="subject_with_one_image",
            message=f"{counted(len(singles), 'train subject')} {by_number(len(singles), 'has', 'have')} a single image "
            f"({name_some(singles)}): {by_number(len(singles), 'it teaches', 'they teach')} little",
        )


def summary_warnings(summary: SplitSummary, name: str) -> Iterable[JobWarning]:
    """Return the warnings about a split called `name`."""
    near = near_clause(summary.near) if summary.near.count else ""
    if (without_hr := summary.without_hr).count:
        yield JobWarning(
            code="hr_missing",
            message=f"{counted(without_hr.count, f'{name} VLR image')} {by_number(without_hr.count, 'has', 'have')} "
            f"no HR image of the same name ({without_hr}){near}",
        )
    if name != "train" and summary.hr_subjects and without_hr.count == sum(summary.vlr_subjects.values()):
        yield JobWarning(
            code="photos_not_paired",
            message=f"no {name} VLR image has the HR image of its photo by name: each is compared with all HR images "
            "of its subject. That is right where they are different photos, such as cameras against a mugshot; if "
            "both folders show the same photos, each is compared with itself too, which makes the figures too high: "
            "give both images of a photo the same name, apart from marks like `_LR` and `_HR`",
        )
    if (without_vlr := summary.without_vlr).count:
        yield JobWarning(
            code="vlr_missing",
            message=f"{counted(without_vlr.count, f'{name} HR image')} {by_number(without_vlr.count, 'has', 'have')} "
            f"no VLR image of the same name ({without_vlr}){near}",
        )
    if (groups := summary.subject_groups).count:
        yield subject_groups_warning(groups.count, groups, name)
    if (unnamed := summary.without_underscore).count:
        yield JobWarning(
            code="subject_unclear",
            message=f"{counted(unnamed.count, f'{name} file name')} {by_number(unnamed.count, 'has', 'have')} no "
            f"`_`, so {by_number(unnamed.count, 'the', 'each')} whole name counts as a subject "
            f"({unnamed})",
        )
    for folder, alike in summary.same_names.items():
        if alike.count:
            yield JobWarning(
                code="names_differ_in_suffix",
                message=f"{alike.count} {name} {folder} share their name with another file except for the suffix "
                f"({alike}): they count as different photos",
            )
        if (ignored := summary.ignored[folder]).count:
            yield JobWarning(
                code="files_ignored",
                message=f"{counted(ignored.count, 'entry', 'entries')} in {name} {folder} "
                f"{by_number(ignored.count, 'is no image and is', 'are not images and are')} ignored ({ignored})",
            )


def _mixed_warning(unknown: list[str], subjects: int) -> JobWarning:
    known = subjects - len(unknown)
    return JobWarning(
        code="val_subjects_unknown",
        message=f"{len(unknown)} of {counted(subjects, 'val subject')} {by_number(len(unknown), 'is', 'are')} not in "
        f"train ({name_some(unknown)}), {known} {by_number(known, 'is', 'are')}: "
        "the figures of val mix people that the training has seen with others, and class accuracy is of the former "
        "alone; put each person into train or into val",
    )
