"""The options of a build: what it accepts, and who hears of its progress."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.dataset_build.faces import Progress
from app.dataset_build.photos import FOLDER
from app.dataset_build.skipped import Skipped
from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.subject_patterns import SubjectPattern


@dataclass(frozen=True)
class Rules:
    """`pattern` finds the subject in a photo's path. Faces of less than `min_size` pixels are skipped.

    `strict` refuses to build where an image would be skipped for another reason, `allow_lost_subjects` builds where a
    subject loses all its images. `allowed_leaks` is the config's field.
    """

    pattern: SubjectPattern = FOLDER
    min_size: int = 0
    strict: bool = False
    allow_lost_subjects: bool = False
    allowed_leaks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listener:
    """`skipped` is called once all photos were read, before anything is refused. `measure` measures the distance of HR
    images from the template; None where that cannot be measured."""

    progress: Progress = lambda _done, _all: None
    skipped: Callable[[Sequence[Skipped]], None] = lambda _: None
    measure: Callable[[Sequence[Path]], AlignmentDistance | None] = lambda _: None
