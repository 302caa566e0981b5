"""Errors of names that a config gives: no such file or folder in the configured roots, or one that cannot be used."""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.errors import name_some
from app.jobs.errors import InputError


class OutsideRoots(InputError):
    code = "path_outside_roots"

    def __init__(self, field: str, name: str, root: Path) -> None:
        super().__init__(
            field,
            f"{field}: {name!r} is outside {root}",
            f"use a name inside {root}, without `..`; links to other folders are not followed: copy or mount instead",
        )


class DatasetNotFound(InputError):
    code = "dataset_not_found"

    def __init__(self, field: str, name: str, root: Path, available: Sequence[str]) -> None:
        has = f"it has {name_some(available)}" if available else "it is empty"
        super().__init__(
            field,
            f"{field}: there is no folder {name!r} in {root} ({has})",
            f"build one: edgeface-finetune dataset build FACES --output {root}/NAME",
        )


class WeightsNotFound(InputError):
    code = "weights_not_found"

    def __init__(self, field: str, name: str, root: Path, available: Sequence[str]) -> None:
        has = f"it has {name_some(available)}" if available else "it is empty"
        super().__init__(
            field,
            f"{field}: there is no file {name!r} in {root} ({has})",
            f"copy the file there, as in cp {Path(name).name} {root}/",
        )


class DsrTooLarge(InputError):
    code = "dsr_too_large"

    def __init__(self, vlr_size: int, output: int, most: int) -> None:
        super().__init__(
            "dsr",
            f"dsr: the network enlarges {vlr_size} px to {output} px; {most} px is the most",
            "train it for smaller vlr_sizes, or omit dsr to start a new network with smaller factors",
        )
