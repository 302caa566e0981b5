"""Lists a whole dataset by file names. Opens no image."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, Roots, Split, scan_hr, scan_split
from app.finetune.errors import DataError, printable
from app.finetune.interruption import until_interrupted
from app.finetune.listing import Listing, PartListing, Times, parts_of
from app.finetune.subject_patterns import SubjectPattern
from app.finetune.summarize import summarize, summarize_hr

_SECOND = 10**9
_TICK = 20 * 10**6
"""Nanoseconds within which two changes of a folder may have equal times. Some file systems count in seconds or two."""


@dataclass(frozen=True)
class ListedPart:
    """A part as it was listed, with its images. `problem` and what it means for `split` are as in `scan_part`."""

    times: Times
    split: Split | None
    problem: DataError | None

    def summarized(self) -> PartListing:
        summary = None
        if self.split is not None:
            summary = summarize(self.split) if self.split.vlr_images else summarize_hr(self.split)
        problem = None if self.problem is None else self.problem.report()
        return PartListing(times=self.times, summary=summary, problem=problem)


def list_parts(dataset: Path, pattern: SubjectPattern, roots: Roots = None) -> dict[str, ListedPart]:
    """List all parts by file names. Opens no image. `roots` are the folders that links may lead to, None any."""
    listed = {}
    for part in parts_of(dataset):
        # The times first: what changes while the names are read shows as a change afterwards.
        times = dict(_folder_times(dataset, part, pattern))
        listed[part] = ListedPart(times, *scan_part(dataset / part, pattern, roots))
    return listed


def listing_of(listed: Mapping[str, ListedPart]) -> Listing:
    return Listing(parts={part: each.summarized() for part, each in listed.items()})


def scan_part(directory: Path, pattern: SubjectPattern, roots: Roots = None) -> tuple[Split | None, DataError | None]:
    """Return the images of a part and its problem: None and why where it cannot be used at all, the HR images alone and
    why where it has no VLR images."""
    try:
        return scan_split(directory, pattern, hr_required=False, roots=roots), None
    except DataError as error:
        problem = error
    try:
        hr = scan_hr(directory, pattern, roots)
    except DataError:
        return None, problem
    return Split(directory, (), hr.hr_images, pattern), problem


def _folder_times(dataset: Path, part: str, pattern: SubjectPattern) -> Iterator[tuple[str, int | None]]:
    now = time.time_ns()
    directory = dataset / part
    for folder in (directory, directory / VLR_FOLDER, directory / HR_FOLDER):
        name = printable(folder.relative_to(dataset).as_posix())
        deep = pattern.reads_subfolders and folder != directory
        for path in _with_subfolders(str(folder)) if deep else [str(folder)]:
            try:
                modified = os.stat(path).st_mtime_ns  # noqa: PTH116 - strings, as in read_times
            except OSError:
                continue
            tick = 2 * _SECOND if modified % _SECOND == 0 else _TICK
            yield name + printable(path[len(str(folder)) :]), None if now - modified < tick else modified


def _with_subfolders(folder: str) -> Iterator[str]:
    for path, subfolders, _ in until_interrupted(os.walk(folder)):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield path
