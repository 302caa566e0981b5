"""The names for the config field `dataset` are found without listing the images of any dataset."""

import sys
from pathlib import Path
from typing import Any

import pytest

from app.finetune.dataset_listing import list_parts, listing_of
from app.finetune.subject_patterns import SubjectPattern
from app.inputs.names import list_datasets
from tests.support.datasets import write_dataset

_listed: list[str] = []


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("os.scandir", "os.listdir"):
        _listed.append(str(arguments[0]))


@pytest.fixture(scope="module")
def listed() -> list[str]:
    """The folders that were listed, in order."""
    sys.addaudithook(_on_event)  # for good: Python has no way to remove it
    return _listed


def test_datasets_are_found_at_any_depth_without_listing_images(tmp_path: Path, listed: list[str]) -> None:
    for name in ("faces", "crossed/fold-1", "crossed/fold-2", ".hidden", ".next.folder.partial"):
        write_dataset(tmp_path / name)
    (tmp_path / "half" / "train_processed").mkdir(parents=True)
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    listed.clear()
    assert list_datasets(tmp_path) == ["crossed/fold-1", "crossed/fold-2", "faces"]
    assert not [folder for folder in listed if "_processed" in folder or "/." in folder]


def test_a_folder_of_a_person_that_comes_or_goes_outdates_the_listing(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "faces")
    for kind in ("vlr_images", "hr_images"):
        for number, image in enumerate(sorted((folder / "train_processed" / kind).iterdir())):
            person = image.parent / f"person{number % 2}"
            person.mkdir(exist_ok=True)
            image.rename(person / image.name)
    listing = listing_of(list_parts(folder, SubjectPattern("folder")))
    times = listing.parts["train_processed"].times
    assert {"train_processed", "train_processed/vlr_images", "train_processed/hr_images/person1"} <= times.keys()
