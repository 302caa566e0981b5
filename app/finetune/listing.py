"""Listing: the names of a whole dataset as of one moment, and the modification times that show whether it changed.

Adding, removing or renaming a file changes the modification time of its folder. Writing into a file does not: a job
finds that by the digests of the manifest (manifest.py).
"""

import os
from pathlib import Path

from pydantic import BaseModel

from app.finetune.dataset_folders import PART_FOLDERS, WHOLE
from app.finetune.errors import ErrorReport
from app.finetune.interruption import until_interrupted
from app.finetune.shown_names import on_disk
from app.finetune.split_summary import SplitSummary

Times = dict[str, int | None]
"""Modification times (ns) by path relative to the dataset, as `printable` shows it; `None` where a later change could
have the same time."""


class PartListing(BaseModel):
    """`summary` is None where the part cannot be used at all, which `problem` explains. A part without VLR images has a
    summary and a problem: a DSR training can use it."""

    times: Times
    summary: SplitSummary | None = None
    problem: ErrorReport | None = None


class Listing(BaseModel):
    """By part: the folder of each part that is there, or `.` for a folder that is a split itself."""

    parts: dict[str, PartListing] = {}

    def current(self, dataset: Path, part: str) -> SplitSummary | None:
        """Return the summary of a part unless a folder of it changed since. Lists no folder of images."""
        listed = self.parts.get(part)
        if listed is None or listed.summary is None or None in listed.times.values():
            return None
        return listed.summary if read_times(dataset, listed.times) == listed.times else None

    def is_current(self, dataset: Path) -> bool:
        """Return whether no folder changed since. Lists no folder of images."""
        if parts_of(dataset) != list(self.parts):
            return False
        return all(
            None not in part.times.values() and read_times(dataset, part.times) == part.times
            for part in self.parts.values()
        )


def parts_of(dataset: Path) -> list[str]:
    """Return the parts of a dataset's folder: those in it, else the folder itself."""
    return [folder for folder in PART_FOLDERS.values() if (dataset / folder).is_dir()] or [WHOLE]


def read_times(dataset: Path, folders: Times) -> Times:
    """Return the times of the folders now, without those that are gone."""
    times: Times = {}
    parent = f"{dataset}/"
    for name in until_interrupted(folders):
        try:
            # A dataset may have a folder for each of 10,000 people, and a Path of each would take as long as its stat.
            times[name] = os.stat(on_disk(dataset, name) if "\\" in name else parent + name).st_mtime_ns  # noqa: PTH116
        except (OSError, ValueError):
            continue
    return times
