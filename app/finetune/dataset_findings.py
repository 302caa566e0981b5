"""What a check of a dataset found, as its record keeps it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.job_warning import JobWarning
from app.finetune.label_judgement import LabelJudgement
from app.finetune.shown_names import on_disk

MOST_KEPT = 1000
"""Unreadable images, and copies, that a record names. A job finds the others when it reads them."""


class PartWarning(JobWarning):
    """A warning about one part of a dataset, or about all of it."""

    part: str | None = Field(None, description="The folder of the part. null: the whole dataset.")

    def plain(self) -> JobWarning:
        """As a job has it."""
        return JobWarning(code=self.code, message=self.message)


class FoundFile(BaseModel):
    """A file by the folder of its part and its path in it as `printable` shows it, with its size and modification time
    when it was read: null where it could not be opened."""

    part: str
    path: str
    size: int | None = None
    mtime_ns: int | None = None

    def changed(self, dataset: Path) -> bool:
        """Return whether the file was written or removed since, or can be opened now. Writing into a file does not
        change the time of its folder, so that the record still counts as current."""
        try:
            path = on_disk(dataset / self.part, self.path)
            if self.size is None:
                return not os.path.lexists(path) or os.access(path, os.R_OK)
            stat = path.stat()
        except (OSError, ValueError):
            return True
        return (stat.st_size, stat.st_mtime_ns) != (self.size, self.mtime_ns)


class FoundImage(FoundFile):
    """An image and what its name says."""

    subject: str
    photo: str


class FoundCopy(BaseModel):
    """Two images of one photo, as in `leaks.Copy`."""

    first: FoundImage
    second: FoundImage
    exact: bool

    @property
    def ends(self) -> tuple[FoundImage, FoundImage]:
        return self.first, self.second


class UnreadableImage(FoundFile):
    """An image that cannot be decoded."""

    reason: str


class KeptSheet(BaseModel):
    """A page of images to look at. `key` is its path relative to the artifacts' root."""

    key: str
    size: int
    sha256: str


class JudgedLabels(BaseModel):
    """What EdgeFace weights say about the subjects' names, by the HR images."""

    edgeface: str = Field(description="File name of the weights.")
    judgement: LabelJudgement
    sheets: list[KeptSheet] = Field(default_factory=list, description="Pages with the images that it names.")

    def warnings(self) -> list[JobWarning]:
        return self.judgement.warnings("the sheet of the dataset's record" if self.sheets else None)


class DatasetFindings(BaseModel):
    """Everything that was found in the images of a dataset."""

    by: Literal["check", "build"] = Field(description="A job of the service, or the `dataset build` that made it.")
    images: int = Field(description="Images that were read.")
    warnings: list[PartWarning] = Field(default_factory=list, description="All of it in words.")
    unreadable: list[UnreadableImage] = Field(default_factory=list, description="The first 1000 of them.")
    copies: list[FoundCopy] = Field(
        default_factory=list, description="The first 1000 photos in two parts or under two subjects."
    )
    alignment: AlignmentDistance | None = Field(None, description="null: not measured.")
    labels: dict[str, JudgedLabels] = Field(
        default_factory=dict, description="By the sha256 of the weights that judged: each judges the same images once."
    )

    @property
    def unopened(self) -> list[UnreadableImage]:
        """The images that could not be opened."""
        return [each for each in self.unreadable if each.size is None]

    def is_outdated(self, dataset: Path) -> bool:
        """Return whether a file that it refuses was written or removed since."""
        files = [*self.unreadable, *(end for copy in self.copies for end in copy.ends)]
        return any(file.changed(dataset) for file in files)

    def about(self, parts: Iterable[str]) -> list[JobWarning]:
        """Return the warnings about the whole dataset and about these parts."""
        asked = {None, *parts}
        return [each.plain() for each in self.warnings if each.part in asked]
