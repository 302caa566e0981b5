"""What a job refuses of a dataset, or warns of, as far as files tell without a backbone. Needs Pillow, not torch.

`dataset build` and `dataset check` use the same functions, so that no dataset is built that the check refuses.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from app.finetune.content_pairs import join_by_content
from app.finetune.dataset import (
    TEST_FOLDER,
    TRAIN_FOLDER,
    VAL_FOLDER,
    DatasetScan,
    Split,
    comparable,
    paired_hr,
    scan_dataset,
    scan_split,
    why_not_comparable,
)
from app.finetune.dataset_errors import TrainHrMissing
from app.finetune.dataset_warnings import scan_warnings, split_warnings
from app.finetune.errors import EdgefaceError, PhotoCopied, UnreadableImages
from app.finetune.images import read_rgb
from app.finetune.job_warning import JobWarning
from app.finetune.leaks import AllowedLeaks, Copy, find_copies
from app.finetune.pixel_problems import PixelProblem, pixel_problem, pixel_warnings
from app.finetune.repeated_photos import repeats_warnings
from app.finetune.same_photo import Print, make_print
from app.finetune.size_warnings import hr_size_warnings, size_warnings
from app.finetune.subject_patterns import GUIDE, SubjectPattern

Progress = Callable[[int, int], None]
"""Called with the number of images done and their total."""

_THREADS = 8
_AT_ONCE = 64


@dataclass(frozen=True)
class ImageFacts:
    """What the checks need of an image's pixels."""

    print: Print
    problem: PixelProblem | None


@dataclass(frozen=True)
class DatasetCheck:
    """`name_warnings` follow from the files' names, `image_warnings` from their pixels. `leaks` are refused; `allowed`
    are leaks that `allowed_leaks` names."""

    scan: DatasetScan
    parts: Mapping[str, Split]
    name_warnings: tuple[JobWarning, ...]
    image_warnings: tuple[JobWarning, ...]
    unreadable: Mapping[Path, str]
    leaks: tuple[Copy, ...]
    allowed: tuple[Copy, ...]

    @property
    def refusals(self) -> list[EdgefaceError]:
        """The errors of a job with this dataset."""
        errors: list[EdgefaceError] = []
        if self.unreadable:
            errors.append(UnreadableImages(dict(self.unreadable)))
        if self.leaks:
            errors.append(PhotoCopied(self.leaks))
        return errors

    @property
    def warnings(self) -> tuple[JobWarning, ...]:
        return *self.name_warnings, *self.image_warnings

    @property
    def images(self) -> int:
        return sum(len(split.images) for split in self.parts.values())

    @property
    def hr_images(self) -> list[Path]:
        return [image.path for split in self.parts.values() for image in split.hr_images]


def facts_of(image: Image.Image) -> ImageFacts:
    """Of an RGB image."""
    return ImageFacts(make_print(image), pixel_problem(image))


def scan_parts(folder: Path, pattern: SubjectPattern = GUIDE) -> tuple[DatasetScan, dict[str, Split]]:
    """Scan train and val of a dataset, and test where it has one. Raises the exceptions of `scan_dataset`."""
    scan = scan_dataset(folder / TRAIN_FOLDER, folder / VAL_FOLDER, pattern, pattern)
    parts = {"train": scan.train, "val": scan.val}
    if (folder / TEST_FOLDER).is_dir():
        parts["test"] = scan_split(folder / TEST_FOLDER, pattern)
    return scan, parts


def check_dataset(
    folder: Path,
    allowed: AllowedLeaks,
    pattern: SubjectPattern = GUIDE,
    progress: Progress = lambda _done, _all: None,
) -> DatasetCheck:
    """Check the dataset in a folder: read each image once, and a second time the HR images that resemble others.

    Raises the exceptions of `scan_dataset`.
    """
    scan, parts = scan_parts(folder, pattern)
    facts, unreadable = read_facts([image.path for split in parts.values() for image in split.images], progress)
    return judge(scan, parts, facts, unreadable, allowed)


def judge(
    scan: DatasetScan,
    parts: Mapping[str, Split],
    facts: Mapping[Path, ImageFacts],
    unreadable: Mapping[Path, str],
    allowed: AllowedLeaks,
) -> DatasetCheck:
    """Check a dataset whose images are read already; `facts` are those of all readable images."""
    names = [*scan_warnings(scan), *(split_warnings(parts["test"], "test") if "test" in parts else ())]
    copies: Sequence[Copy] = []
    if not allowed.everything:
        copies = find_copies(parts, {path: its.print for path, its in facts.items()}, threads=_THREADS)
    permitted = tuple(copy for copy in copies if allowed.copy(copy))
    refused = tuple(copy for copy in copies if copy not in permitted)
    names += [*_pairing_warnings(scan, parts), *allowed.unused_warnings(people_compared=False)]
    of_images = tuple(warning for name, split in parts.items() for warning in image_warnings(name, split, facts))
    return DatasetCheck(scan, parts, tuple(names), of_images, unreadable, refused, permitted)


def _pairing_warnings(scan: DatasetScan, parts: Mapping[str, Split]) -> Iterator[JobWarning]:
    try:
        paired_hr(scan.train)
    except TrainHrMissing as error:
        yield JobWarning(
            code=error.code, message=f"the recipe `recommended` refuses train, `guide` takes it: {error.message}"
        )
    if "test" in parts and not comparable(parts["test"]):
        yield JobWarning(
            code="eval_not_comparable",
            message=f"`evaluate` refuses test, jobs do not read it: {why_not_comparable(parts['test']).why}",
        )


def image_warnings(name: str, split: Split, facts: Mapping[Path, ImageFacts]) -> Iterator[JobWarning]:
    """Return the warnings about the pixels of a split called `name`; `facts` are those of its readable images."""
    vlr, hr = (
        {image.path: facts[image.path].print.size for image in images if image.path in facts}
        for images in (split.vlr_images, split.hr_images)
    )
    yield from size_warnings(name, Counter(vlr.values()), None)
    yield from hr_size_warnings(name, Counter(hr.values()), hr)
    found = {image.path: facts[image.path] for image in split.images if image.path in facts}
    problems = {path: its.problem for path, its in found.items() if its.problem is not None}
    yield from pixel_warnings(name, problems, len(split.images))
    prints = {path: its.print for path, its in found.items()}
    if name != "train":
        yield from join_by_content(split, prints, name)[1]
    else:
        yield from repeats_warnings(split, prints, name)


def read_facts(
    images: Sequence[Path], progress: Progress = lambda _done, _all: None, threads: int = _THREADS
) -> tuple[dict[Path, ImageFacts], dict[Path, str]]:
    """Decode each image once: return the facts, and the reason for each file that cannot be read. `progress` may
    raise."""
    facts: dict[Path, ImageFacts] = {}
    unreadable: dict[Path, str] = {}
    paths = iter(images)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        while some := list(islice(paths, _AT_ONCE)):
            for path, its in zip(some, pool.map(_facts_or_reasons, some), strict=True):
                if isinstance(its, ImageFacts):
                    facts[path] = its
                else:
                    unreadable |= its
            progress(len(facts) + len(unreadable), len(images))
    return facts, unreadable


def _facts_or_reasons(path: Path) -> ImageFacts | dict[Path, str]:
    try:
        return facts_of(read_rgb(path))
    except UnreadableImages as error:
        return error.reasons
