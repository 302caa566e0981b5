"""Names of the folders of a dataset's parts."""

import os
import re
from pathlib import Path, PurePath
from typing import TypeVar

TRAIN_FOLDER, VAL_FOLDER, TEST_FOLDER = "train_processed", "val_processed", "test_processed"
"""No training reads the test part."""

PART_FOLDERS = {"train": TRAIN_FOLDER, "val": VAL_FOLDER, "test": TEST_FOLDER}

WHOLE = "."
"""The part of a directory that is a dataset of its own."""

_AnyPath = TypeVar("_AnyPath", bound=PurePath)


def dataset_of(directory: _AnyPath) -> tuple[_AnyPath, str]:
    """Return the folder of the dataset that a directory with `vlr_images` and `hr_images` belongs to, and its name in
    that folder: its own for a part, `.` where the directory is a dataset of its own."""
    if directory.name in PART_FOLDERS.values() and directory.parent.name:
        return directory.parent, directory.name
    return directory, WHOLE


def similar_folder(folder: Path) -> str | None:
    """Return the name of a folder beside a missing one that differs in case, separators, a plural or the ending, as
    `VLR_images`, `vlr-image` and `vlr` do from `vlr_images`. None without any."""
    try:
        with os.scandir(folder.parent) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return None
    return next((name for name in found if name != folder.name and _loose(name) == _loose(folder.name)), None)


def _loose(name: str) -> str:
    return re.sub(r"[\s_.-]*(processed|images?)?\Z", "", name.casefold()).translate(_SEPARATORS)


_SEPARATORS = str.maketrans("", "", " _.-")
