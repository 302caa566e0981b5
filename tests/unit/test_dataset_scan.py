from pathlib import Path

import pytest

from app.finetune.dataset import comparable, scan_dataset, scan_split
from app.finetune.dataset_errors import FolderEmpty
from app.finetune.dataset_warnings import scan_warnings
from tests.support.datasets import write_dataset


def warnings_of(folder: Path) -> dict[str, str]:
    scan = scan_dataset(folder / "train_processed", folder / "val_processed")
    return {warning.code: warning.message for warning in scan_warnings(scan)}


def test_subjects_are_numbered_from_train_alone(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "faces", train_subjects=2, val_subjects=4)
    scan = scan_dataset(folder / "train_processed", folder / "val_processed")
    assert scan.subject_to_id == {"000": 0, "001": 1}
    assert scan.unknown_val_subjects == ("002", "003")


def test_what_is_odd_is_told_by_name_and_stops_nothing(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "faces")
    train, val = folder / "train_processed", folder / "val_processed"
    (train / "vlr_images" / "001_00.png").unlink()
    (val / "hr_images" / "002_01.png").unlink()
    (train / "vlr_images" / "notes.txt").touch()
    (train / "vlr_images" / ".hidden").touch()
    (train / "vlr_images" / "000_00.png").rename(train / "vlr_images" / "nobody.png")
    told = warnings_of(folder)
    assert set(told) == {"vlr_missing", "hr_missing", "files_ignored", "subject_with_one_image", "subject_unclear"}
    assert "nobody.png" in told["subject_unclear"]
    assert "notes.txt" in told["files_ignored"]
    assert "hidden" not in told["files_ignored"]
    assert "002_01.png" in told["hr_missing"]


def test_hr_images_are_needed_for_val_only(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "faces")
    for half in ("train_processed", "val_processed"):
        for image in (folder / half / "hr_images").iterdir():
            image.unlink()
        if half == "train_processed":
            assert "hr_missing" in warnings_of(folder)
    with pytest.raises(FolderEmpty, match="val_processed/hr_images"):
        scan_dataset(folder / "train_processed", folder / "val_processed")


def test_a_pair_has_one_name_whatever_its_suffixes(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "faces", images=1)
    for image in (folder / "val_processed" / "hr_images").iterdir():
        image.rename(image.with_suffix(".jpg"))
    assert not {"hr_missing", "vlr_missing"} & warnings_of(folder).keys()
    assert not comparable(scan_split(folder / "val_processed")), "nobody has a second photo"
    (folder / "val_processed" / "hr_images" / "001_00.jpg").rename(folder / "val_processed/hr_images/001_01.jpg")
    assert "001_01.jpg" in warnings_of(folder)["vlr_missing"]
    assert comparable(scan_split(folder / "val_processed"))
