"""SplitSummary: what the file names of one split say, without the names.

It is small whatever the number of images, so that a record of a dataset can keep it: whether a job can use the split,
and the warnings about it (dataset_warnings.py), follow from it without listing a folder.
"""

from collections.abc import Sequence

from pydantic import BaseModel

from app.finetune.errors import name_some, printable

_SHOWN = 5


class SomeNames(BaseModel):
    """Names, of which only the first five are kept."""

    count: int = 0
    first: list[str] = []

    @classmethod
    def of(cls, names: Sequence[str]) -> "SomeNames":
        return cls(count=len(names), first=[printable(name) for name in names[:_SHOWN]])

    def __str__(self) -> str:
        """As `name_some`."""
        return name_some(self.first) + (f" and {self.count - _SHOWN} more" if self.count > _SHOWN else "")


class SplitSummary(BaseModel):
    """`vlr_subjects` and `hr_subjects` are the number of images of each subject.

    `comparable` as the function in dataset.py; `hr_comparable` the same among the HR images alone. `without_hr` are the
    VLR images without HR image of the same photo, `without_vlr` the reverse, `near` the pairs among these whose names
    differ in case, separators or leading zeros. `subject_groups` are the subjects whose names look like those of
    several people. `same_names` are the images of a folder that share their name with another except for the suffix,
    `ignored` its entries that are not images; both by folder.
    """

    vlr_subjects: dict[str, int]
    hr_subjects: dict[str, int]
    comparable: bool
    hr_comparable: bool
    without_hr: SomeNames
    without_vlr: SomeNames
    near: SomeNames
    without_underscore: SomeNames
    subject_groups: SomeNames = SomeNames()
    same_names: dict[str, SomeNames]
    ignored: dict[str, SomeNames]

    @property
    def vlr_images(self) -> int:
        return sum(self.vlr_subjects.values())

    @property
    def hr_images(self) -> int:
        return sum(self.hr_subjects.values())


def unknown_subjects(train: SplitSummary, val: SplitSummary) -> list[str]:
    """Return the subjects of val's VLR images that are not in train, sorted."""
    return sorted(val.vlr_subjects.keys() - train.vlr_subjects.keys())
