"""Errors of names that a config gives: no such file or folder in the configured roots, or one that cannot be used."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from app.finetune.dataset_folders import PART_FOLDERS, WHOLE, dataset_of
from app.finetune.errors import EdgefaceError, name_some, shortened
from app.jobs.errors import InputError

OFFICIAL_WEIGHTS = "edgeface_xxs.pt"
"""The file that `edgeface-finetune weights fetch` downloads."""


class OutsideRoots(InputError):
    code = "path_outside_roots"

    def __init__(self, field: str, name: str, root: Path) -> None:
        super().__init__(
            field,
            f"{field}: {shortened(name)!r} is outside {root}",
            f"use a name inside {root}, without `..`; links to other folders are not followed: copy or mount instead",
        )


class RootUnreadable(EdgefaceError):
    code = "folder_unreadable"

    def __init__(self, root: Path, reason: str) -> None:
        super().__init__(
            f"{root} cannot be listed: {reason}",
            f"allow the service's user (uid 10001 in the container images) to read it: chmod a+rx {root}",
        )


class InputUnreadable(InputError):
    code = "input_unreadable"

    def __init__(self, field: str, name: str, root: Path, reason: str) -> None:
        super().__init__(
            field,
            f"{field}: {name!r} in {root} cannot be opened: {reason}",
            "allow the service's user (uid 10001 in the container images) to read it and the folders above it: "
            f"chmod -R a+rX {root}",
        )


class DatasetNotFound(InputError):
    code = "dataset_not_found"

    def __init__(self, field: str, name: str, root: Path, available: Sequence[str], similar: str | None = None) -> None:
        """`similar` is a folder beside it that may be meant."""
        has = _contents(root, available)
        super().__init__(
            field,
            f"{field}: there is no folder {shortened(name)!r} in {root} ({has})",
            _advice_on_dataset(name, root, available, similar),
        )


class WeightsNotFound(InputError):
    code = "weights_not_found"

    def __init__(self, field: str, name: str, folders: Sequence[Path], available: Sequence[str]) -> None:
        """`folders` were searched, the weights folder last, whose names are `available`."""
        searched = " or in ".join(map(str, folders))
        has = _contents(folders[-1], available) if folders else ""
        where = f" in {searched} ({has})" if folders else ""
        super().__init__(
            field, f"{field}: there is no file {shortened(name)!r}{where}", _advice(name, folders, available)
        )


class TrainIsVal(InputError):
    code = "train_is_val"

    def __init__(self, train_dir: str, val_dir: str) -> None:
        super().__init__(
            "val_dir",
            f"train_dir {shortened(train_dir)!r} and val_dir {shortened(val_dir)!r} are the same folder: val would "
            "show the photos of train, and its figures would mean nothing",
            'give val_dir a folder with other photos; to train on all the same, set "allowed_leaks": ["*"]',
        )


class DsrTooLarge(InputError):
    code = "dsr_too_large"

    def __init__(self, vlr_size: int, output: int, most: int) -> None:
        super().__init__(
            "dsr",
            f"dsr: the network enlarges {vlr_size} px to {output} px; {most} px is the most",
            "train it for smaller vlr_sizes, or omit dsr to start a new network with smaller factors",
        )


def _contents(folder: Path, available: Sequence[str]) -> str:
    if available:
        return f"it has {name_some(available)}"
    return "it is empty" if folder.is_dir() else "which does not exist"


def _advice_on_dataset(name: str, root: Path, available: Sequence[str], similar: str | None) -> str:
    if similar is not None and Path(name).name not in PART_FOLDERS.values():
        return f"did you mean {PurePosixPath(name).with_name(similar)}?"
    if similar is not None:
        return f"rename {similar} to {Path(name).name}: mv {root / Path(name).with_name(similar)} {root / name}"
    dataset, part = dataset_of(PurePosixPath(name))
    if close := get_close_matches(dataset.as_posix(), available, n=1):
        return f"did you mean {close[0] if part == WHOLE else PurePosixPath(close[0]) / part}?"
    return f"build one: edgeface-finetune dataset build FACES --output {root}/NAME"


def _advice(name: str, folders: Sequence[Path], available: Sequence[str]) -> str:
    base = Path(name).name
    same = [each for each in available if Path(each).name == base]
    if base == OFFICIAL_WEIGHTS and not same:
        return "`edgeface-finetune weights fetch` downloads it into the weights folder"
    if close := same or get_close_matches(name, available, n=1):
        return f"did you mean {close[0]}?"
    return f"copy the file there, as in cp {shortened(base)} {folders[-1]}/" if folders else "check the path"
