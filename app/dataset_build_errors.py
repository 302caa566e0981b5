"""Errors of `dataset build`. All errors are drawn in app/finetune/errors.py."""

from pathlib import Path

from app.finetune.errors import DataError, name_some

FEWEST_SUBJECTS = 2
"""Fewest subjects of a split: recognition of a single subject means nothing."""


class NamesCollide(DataError):
    code = "names_collide"

    def __init__(self, name: str, sources: list[Path]) -> None:
        super().__init__(
            f"{name_some(sources)} would all become {name}", "rename the folders or files so that their names differ"
        )


class OutputNotEmpty(DataError):
    code = "output_exists"

    def __init__(self, output: Path) -> None:
        super().__init__(f"{output} already exists", "choose another --output, or remove it first")


class TooFewToSplit(DataError):
    code = "too_few_to_split"

    def __init__(self, faces: Path, what: str) -> None:
        super().__init__(f"{faces} has too few {what} to split", "add faces, or split with --split images")


class CannotFold(DataError):
    code = "cannot_fold"

    def __init__(self, faces: Path, subjects: int, folds: int) -> None:
        super().__init__(
            f"{faces} has {subjects} subjects, too few for {folds} folds: a fold needs {FEWEST_SUBJECTS} of them in "
            "each of test, val and train",
            f"use --folds 2 to {subjects // FEWEST_SUBJECTS}, or add faces"
            if subjects >= 3 * FEWEST_SUBJECTS
            else f"use the faces of at least {3 * FEWEST_SUBJECTS} people",
        )
