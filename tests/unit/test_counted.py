"""Messages that count have the forms of one and of several."""

import re
from collections import Counter
from pathlib import Path

import pytest

from app.dataset_build import Rules, build_dataset
from app.dataset_build.errors import CannotFold, SubjectsLost, SubjectsNotRead
from app.dataset_build.skipped import Skipped, summary
from app.datasets.errors import NoSheet
from app.drawn_faces import write_drawn_faces
from app.finetune.counted import by_number, counted
from app.finetune.dataset_errors import FolderEmpty, FolderMissing, SubjectsNotFound, TooFewSubjects, TrainHrMissing
from app.finetune.dataset_warnings import summary_warnings, training_warnings
from app.finetune.pixel_problems import PIXEL_PROBLEMS, pixel_warnings
from app.finetune.size_warnings import hr_size_warnings, size_warnings
from app.finetune.split_summary import SomeNames, SplitSummary
from app.finetune.subject_groups import subject_groups_warning
from app.finetune.training_errors import EnlargementNotFinite

_PLURALS = "images|entries|subjects|files|photos|pages|folders|names|faces|people|pairs"
WRONG = re.compile(
    rf"(?<![\w.])1 (?!of )(?:other )?(?:\w+ ){{0,2}}(?:{_PLURALS})\b"
    rf"|(?<![\w.])1 (?:of \d+ )?(?:\w+ ){{0,3}}(?:are|have|were|show|do|span|seem|measure)\b"
    rf"|(?<![\w.])(?<!of )(?<!of the )[2-9] (?:of \d+ )?(?:\w+ ){{0,3}}(?:is|has|was|shows|does|spans|seems|measures)\b"
)


def wording(count: int) -> list[str]:
    """Messages about so many things of `count + 1`, or of so many."""
    names = [f"n{number}" for number in range(count)]
    some = SomeNames.of(names)
    folders = ("vlr_images", "hr_images")
    summary_of = SplitSummary(
        vlr_subjects=dict.fromkeys(names, 1) | {"known": 2},
        hr_subjects={"n0": 1},
        comparable=True,
        hr_comparable=True,
        without_hr=some,
        without_vlr=some,
        near=some,
        without_underscore=some,
        subject_groups=some,
        same_names=dict.fromkeys(folders, some),
        ignored=dict.fromkeys(folders, some),
    )
    train = summary_of.model_copy(update={"vlr_subjects": {"known": count, "t": 1}})
    folder = Path("folder")
    sizes = Counter({(10, 12): count})
    return [
        *(each.message for each in training_warnings(train, summary_of)),
        *(each.message for each in summary_warnings(summary_of, "test")),
        *(each.message for each in size_warnings("val", sizes, 16)),
        *(each.message for each in hr_size_warnings("val", sizes)),
        *(
            each.message
            for problem in PIXEL_PROBLEMS
            for each in pixel_warnings("val", {folder / name: problem for name in names}, count)
        ),
        subject_groups_warning(count, some, "val").message,
        FolderEmpty(folder, names, names).message,
        FolderMissing(folder, count).message,
        SubjectsNotFound(folder, names, count, "any").message,
        TooFewSubjects(folder, names, names, "any").message,
        TrainHrMissing(folder, names, count).message,
        EnlargementNotFinite(folder, count).message,
        SubjectsNotRead(folder, names, "any", {"lfw": (count, count)}).message,
        SubjectsLost(folder, names, count).message,
        CannotFold(folder, count, 2).message,
        NoSheet("faces", count).message,
        *summary([Skipped(name, "hidden") for name in names] + [Skipped(name, "unreadable") for name in names]),
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_messages_have_the_form_of_their_number(count: int) -> None:
    messages = wording(count)
    assert len(messages) > 25
    assert [message for message in messages if WRONG.search(message)] == []


def test_a_build_describes_one_photo_as_one(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path / "faces", subjects=4, images_per_subject=2, seed=1)
    first = tmp_path / "faces" / "drawn000"
    (first / "00.png").rename(first / "a_LR.png")
    (first / "01.png").rename(first / "a_HR.png")
    built = build_dataset(tmp_path / "faces", tmp_path / "out", rules=Rules(allowed_leaks=("*",)))
    (told,) = [each.message for each in built.warnings if each.code == "photos_at_several_resolutions"]
    assert told.startswith("1 photo seems to be there")


def test_counts() -> None:
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(count, "entry", "entries") for count in (1, 2)] == ["1 entry", "2 entries"]
    assert [by_number(count, "is", "are") for count in (0, 1, 2)] == ["are", "is", "are"]
