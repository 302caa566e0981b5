"""Checks the datasets of a submission by their records, without opening an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.datasets.records import RecordedPart
from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, JobWarning
from app.finetune.job_dataset import JobDataset
from app.finetune.known_problems import refuse_found_copies, refuse_found_unreadable
from app.finetune.leaks import AllowedLeaks

BOTH_FOLDERS = (VLR_FOLDER, HR_FOLDER)


@dataclass(frozen=True)
class CheckedInputs:
    """The inputs of a job can be used. `datasets` is how it reads its folders."""

    warnings: Sequence[JobWarning]
    datasets: Sequence[JobDataset] = ()


def refuse_known(
    parts: Mapping[str, RecordedPart],
    *,
    read: Mapping[str, Sequence[str]],
    compared: Sequence[str] = (),
    allowed: AllowedLeaks | None = None,
) -> list[JobWarning]:
    """Refuse what the last check of the datasets found; return its warnings. A dataset that was not checked since it
    changed has none: the job finds them.

    `parts` are named as the job names them (`train`, `val`). `read` are the folders of each part that the job decodes,
    `compared` those in which it looks for copies. Raises UnreadableImages or PhotoCopied.
    """
    by_record = {part.record.name: part for part in parts.values()}
    of_record = {name: {role: part for role, part in parts.items() if part.record.name == name} for name in by_record}
    warnings: list[JobWarning] = []
    for name, any_part in by_record.items():
        if (findings := any_part.record.findings) is not None:
            kinds = {f"{part.part}/{kind}" for role, part in of_record[name].items() for kind in read[role]}
            refuse_found_unreadable(findings, any_part.folder, kinds)
            warnings += findings.about([part.part for part in of_record[name].values()])
    for name, any_part in by_record.items():
        if (findings := any_part.record.findings) is not None and allowed is not None:
            roles = {part.part: role for role, part in of_record[name].items()}
            kinds = {f"{part}/{kind}" for part in roles for kind in compared}
            refuse_found_copies(findings, any_part.folder, roles, kinds, allowed)
    return warnings
