"""A file that is a copy of another image of its subject is no second photo: the figures leave their pairs out."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from app.finetune.dataset_check import check_dataset
from app.finetune.dataset_errors import NothingToCompare
from app.finetune.dataset_folders import TRAIN_FOLDER, VAL_FOLDER
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import EnlargementMeasured, RecognitionMeasured, StateSaved, Stopped, TrainingEvent, Warned
from app.finetune.leaks import AllowedLeaks
from tests.unit.training.super_resolution import support as dsr
from tests.unit.training.support import tiny_config, write_drawn_split, write_training, write_untrained
from worker.training.evaluation.evaluate_backbone import evaluate_backbone
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.storage.paths import EvaluationFiles, ResumeFrom, TrainingFiles

PEOPLE, PHOTOS = 3, 3

Copy = Callable[[Path], None]


def copied(path: Path) -> None:
    shutil.copy(path, path.with_stem(f"{path.stem}-copy"))


def saved_in_another_format(path: Path) -> None:
    with Image.open(path) as image:
        image.save(path.with_name(f"{path.stem}9.bmp"))


def mirrored(path: Path) -> None:
    with Image.open(path) as image:
        ImageOps.mirror(image).save(path.with_stem(f"{path.stem}-flipped"))


def repeat_first_photos(split: Path, copy: Copy = copied, kinds: tuple[str, ...] = ("vlr_images", "hr_images")) -> None:
    """Copy both images of each subject's first photo."""
    for kind in kinds:
        for first in sorted((split / kind).glob("*_00.png")):
            copy(first)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    write_drawn_split(tmp_path / "val", range(PEOPLE), range(PHOTOS))
    return tmp_path / "val"


def evaluated(split: Path) -> tuple[list[int], list[str]]:
    """The numbers of genuine pairs of all comparisons, and the warnings."""
    weights = write_untrained(split.parent / "untrained.pt")
    config = EvaluationConfig(eval_dir="val", device="cpu", num_workers=0)
    evaluation = evaluate_backbone(config, EvaluationFiles(split, weights)).evaluation
    repeated = [warning.message for warning in evaluation.warnings if warning.code == "photos_repeated"]
    return [each.verification.genuine_pairs for each in evaluation.comparisons], repeated


@pytest.mark.parametrize("copy", [copied, saved_in_another_format, mirrored])
def test_an_evaluation_counts_no_pair_of_a_photo_and_its_copy(split: Path, copy: Copy) -> None:
    repeat_first_photos(split, copy)
    pairs, warnings = evaluated(split)
    # Of four images of a subject, two show one photo: 4 * 4 pairs, without 2 * 2 of it and one of each other photo.
    # Images of one kind form each pair once.
    assert pairs == [PEOPLE * 5, PEOPLE * 10, PEOPLE * 10, PEOPLE * 5, PEOPLE * 5]
    (message,) = warnings
    assert message.startswith("6 evaluation images with the pixels of another image of the same subject (hr_images/000")
    assert "000_00.png" in message


@pytest.mark.parametrize("kind", ["vlr_images", "hr_images"])
def test_copies_of_one_kind_are_enough(split: Path, kind: str) -> None:
    repeat_first_photos(split, kinds=(kind,))
    pairs, (message,) = evaluated(split)
    assert pairs[1] == PEOPLE * (4 * 3 - 2 - 1 - 1)
    assert message.startswith("3 evaluation images")


def test_an_evaluation_without_copies_warns_of_nothing(split: Path) -> None:
    assert evaluated(split) == ([9, 18, 18, 9, 9], [])


def test_black_images_are_not_one_photo(split: Path) -> None:
    for path in (split / "vlr_images").iterdir():
        Image.new("RGB", (16, 16)).save(path)
    assert evaluated(split) == ([9, 18, 18, 9, 9], [])


def test_copies_alone_are_nothing_to_compare(tmp_path: Path) -> None:
    write_drawn_split(tmp_path / "val", range(PEOPLE), range(1))
    repeat_first_photos(tmp_path / "val")
    with pytest.raises(NothingToCompare):
        evaluated(tmp_path / "val")


def trained(files: TrainingFiles, control: Control | None = None) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []

    def report(event: TrainingEvent) -> None:
        events.append(event)
        if control and isinstance(event, StateSaved):
            control.stop.set()

    stopped = isinstance(finetune(tiny_config(), files, report, control or Control()), Stopped)
    assert stopped == (control is not None)
    return events


def repeated_in(events: list[TrainingEvent]) -> list[str]:
    warnings = [event.warning for event in events if isinstance(event, Warned)]
    return [" ".join(each.message.split()[:3]) for each in warnings if each.code == "photos_repeated"]


def test_a_training_and_its_resumption_count_no_pair_of_a_photo_and_its_copy(tmp_path: Path) -> None:
    files = write_training(tmp_path, val_subjects=range(4, 7))
    for first in sorted(files.val_dir.glob("*/*_04.png")):
        copied(first)
    for first in sorted(files.train_dir.glob("vlr_images/*_00.png")):
        copied(first)
    events = trained(files)
    assert repeated_in(events) == ["4 train images", "6 val images"]
    # Of three images of a subject, two show one photo: 3 * 3 pairs without 2 * 2 and one.
    measured = [event.recognition.genuine_pairs for event in events if isinstance(event, RecognitionMeasured)]
    assert measured == [12, 12]
    other = replace(files, output_dir=tmp_path / "first")
    saved = next(event for event in trained(other, Control(save_every_seconds=0)) if isinstance(event, StateSaved))
    resumed = trained(replace(files, output_dir=tmp_path / "resumed", resume=ResumeFrom(saved.file.path, None)))
    after, again = (
        [event for event in some if isinstance(event, RecognitionMeasured)][-1] for some in (events, resumed)
    )
    assert again == after


def test_a_check_warns_of_copies_in_each_part(tmp_path: Path) -> None:
    for folder, people in ((TRAIN_FOLDER, range(3)), (VAL_FOLDER, range(3, 6))):
        write_drawn_split(tmp_path / folder, people, range(3))
        repeat_first_photos(tmp_path / folder)
    check = check_dataset(tmp_path, AllowedLeaks([]))
    train, val = [warning.message for warning in check.image_warnings if warning.code == "photos_repeated"]
    assert train.startswith("6 train images")
    assert "more often than others" in train
    assert val.startswith("6 val images")
    assert "leave out the pairs" in val
    assert not check.refusals


def test_a_dsr_training_counts_no_pair_of_a_photo_and_its_copy(tmp_path: Path) -> None:
    for folder, people in ((TRAIN_FOLDER, range(3)), (VAL_FOLDER, range(3, 6))):
        write_drawn_split(tmp_path / folder, people, range(3))
        repeat_first_photos(tmp_path / folder)
    files = dsr.files_in(tmp_path, write_untrained(tmp_path / "untrained.pt"), tmp_path / "output")
    _, events = dsr.finished(dsr.tiny_config(epochs=1, allowed_leaks=["*"]), files)
    measured = [event.recognition for event in events if isinstance(event, EnlargementMeasured)]
    assert {each.genuine_pairs for each in measured} == {2 * PEOPLE * 10}  # two sizes
    assert repeated_in(events) == ["3 train images", "3 val images"]
