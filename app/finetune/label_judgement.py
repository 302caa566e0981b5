"""What the embeddings of a dataset's HR images say about its labels: whether they separate the people, subjects that
show two people, and images under the wrong name. `worker/training/checks/labels.py` judges.
"""

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, Field

from app.finetune.counted import by_number, counted
from app.finetune.errors import name_some
from app.finetune.job_warning import JobWarning

CLEAR_AUC, CLEAR_D_PRIME = 0.99, 4.5
"""Below both, HR faces are separated worse than aligned faces are (d' 5.9 to 7.9 on ORL, Yale and LFW, raw ORL 2.9)."""

FEWEST_PAIRS = 20
"""Genuine pairs that a judgement of all faces needs."""

LISTED = 500
"""Images and subjects that a judgement lists."""

_ALIKE_IMPOSTORS = 0.35


class LikelyMislabelled(BaseModel):
    """An image that is more similar to another subject than to its own. The examples are the most typical images of
    both subjects; similarities are mean cosines."""

    image: str
    subject: str
    nearest: str
    similarity_to_own: float
    similarity_to_nearest: float
    example_of_own: str
    example_of_nearest: str

    def __str__(self) -> str:
        return f"{self.image} looks like {self.nearest}"


class LikelyTwoPeople(BaseModel):
    """A subject whose images form two groups that are as different as two people. `first` and `second` are their
    images, the most typical first; `similarity` is the mean cosine between the groups, `within` that in the less
    similar group."""

    subject: str
    first: list[str]
    second: list[str]
    similarity: float
    within: float

    def __str__(self) -> str:
        return f"{self.subject}: {_some_of(self.first)} against {_some_of(self.second)}"


class LabelJudgement(BaseModel):
    """The judgement of HR images and their subjects by one backbone.

    `auc` and `d_prime` are of all pairs, `auc_left` and `d_prime_left` without the images that are named and with two
    subjects for each that is two people. None: there are no two images of one subject, or no two subjects.
    """

    images: int = Field(description="HR images that were compared.")
    subjects: int
    genuine_pairs: int = 0
    auc: float | None = Field(description="Area under the ROC curve of genuine against impostor pairs.")
    d_prime: float | None = None
    genuine_mean: float | None = Field(None, description="Mean cosine of two images of one subject.")
    impostor_mean: float | None = Field(None, description="Mean cosine of images of two subjects.")
    auc_left: float | None = None
    d_prime_left: float | None = None
    mislabelled_images: int = 0
    mislabelled: list[LikelyMislabelled] = Field(default_factory=list, description="At most 500, the clearest first.")
    subjects_of_two_people: int = 0
    two_people: list[LikelyTwoPeople] = Field(default_factory=list, description="At most 500.")

    def warnings(self, sheet: str | None = None) -> list[JobWarning]:
        """Return what it means, in words. `sheet` is where the named images can be looked at."""
        return list(self._warnings(f"; look at {sheet}" if sheet else "; look at these images"))

    def _warnings(self, look: str) -> Iterator[JobWarning]:
        if self.not_told_apart:
            yield JobWarning(code="hr_not_told_apart", message=self._not_told_apart())
        if self.two_people:
            yield JobWarning(
                code="likely_two_people",
                message=f"{self.subjects_of_two_people} of {counted(self.subjects, 'subject')} probably "
                f"{by_number(self.subjects_of_two_people, 'shows two people', 'show two people each')} "
                f"({name_some(self.two_people)}): is each subject one person?{look}",
            )
        if self.mislabelled:
            yield JobWarning(
                code="likely_mislabelled",
                message=f"{self.mislabelled_images} of {counted(self.images, 'HR image')} probably "
                f"{by_number(self.mislabelled_images, 'has', 'have')} the wrong name "
                f"({name_some(self.mislabelled)}){look}",
            )

    @property
    def not_told_apart(self) -> bool:
        """Whether the embeddings do not separate the people, even without the images and subjects that are named."""
        if self.auc_left is None or self.genuine_pairs < FEWEST_PAIRS:
            return False
        return self.auc_left < CLEAR_AUC and (self.d_prime_left or 0.0) < CLEAR_D_PRIME

    def _not_told_apart(self) -> str:
        alike = (self.impostor_mean or 0.0) >= _ALIKE_IMPOSTORS
        cause = (
            "Images of different people are much alike: are they cropped to the face and aligned?"
            if alike
            else "Are they aligned to the EdgeFace template (`dataset build --align`), and is each subject one person?"
        )
        return (
            f"the HR faces of {self.subjects} subjects are not told apart well: the AUC of HR against HR is "
            f"{self.auc:.3f}, the mean similarity of two images of one subject is {self.genuine_mean:.2f}, of two "
            f"subjects {self.impostor_mean:.2f}, and d' is {self.d_prime:.1f} (aligned faces have 5 or more). {cause}"
        )


def _some_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
