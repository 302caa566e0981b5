"""Errors of `dataset build`. All errors are drawn in app/finetune/error_tree.py."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from app.finetune.counted import by_number, counted
from app.finetune.errors import DataError, name_some

SECOND_FOLDER = r"[^/]+/([^/]+)/.*"
"""The subject pattern of folders in which the people are one folder deeper than `folder` reads them."""

FEWEST_SUBJECTS = 2
"""Fewest subjects of a split: recognition of a single subject means nothing."""


class OutputNotEmpty(DataError):
    code = "output_exists"

    def __init__(self, output: Path) -> None:
        super().__init__(f"{output} already exists", "choose another --output, or remove it first")


class OutputInsideFaces(DataError):
    code = "output_inside_faces"

    def __init__(self, output: Path, faces: Path) -> None:
        super().__init__(
            f"{output} is in {faces}, so the next build would take the dataset for photos",
            "choose an --output elsewhere",
        )


class AlreadyDataset(DataError):
    """`found` is a folder of a dataset in `faces`, or `faces` itself."""

    code = "faces_are_a_dataset"

    def __init__(self, faces: Path, found: Path, dataset: Path) -> None:
        super().__init__(
            f"{faces} is no folder of photos but a dataset, or has one: {found}",
            f"`edgeface-finetune dataset check {dataset}` checks it; to build another one from its HR images, give a "
            "folder of them and --subject-pattern guide",
        )


class NoPhotos(DataError):
    """`found` says what the folder has instead, empty where it has nothing."""

    code = "no_photos"

    def __init__(self, faces: Path, found: str) -> None:
        super().__init__(
            f"{faces} has no image that can be built{f': {found}' if found else ', nor any other file'}",
            "give a folder with one folder of photos for each person; docs/datasets.md lists the formats",
        )


class SubjectsNotRead(DataError):
    """`others` are the numbers of subjects and images that other patterns find, by the name of the pattern."""

    code = "subjects_not_read"

    def __init__(
        self, faces: Path, names: Sequence[str], pattern: object, others: Mapping[str, tuple[int, int]]
    ) -> None:
        super().__init__(
            f"{by_number(len(names), 'the only image', f'none of the {len(names)} images')} in {faces} has "
            f"{by_number(len(names), 'no', 'a')} subject ({name_some(names)}): the subject is {pattern}. "
            + (f"By other patterns it has: {_in_words(others)}" if others else "No named pattern finds one"),
            "choose the right --subject-pattern, or write one: a regular expression of the path without suffix whose "
            "first group is the subject; if all images show one person, give the folder above, with other people too",
        )


class FacesNested(DataError):
    """The subjects are one folder deeper, in `folders`, as `examples` are."""

    code = "faces_nested"

    def __init__(self, faces: Path, folders: Sequence[str], examples: Sequence[str]) -> None:
        are = "is not a subject but has" if len(folders) == 1 else "are not subjects but have"
        hint = f"read the second folder as the subject: --subject-pattern '{SECOND_FOLDER}'"
        if len(folders) == 1:
            hint = f"give the folder with a folder for each person: dataset build {faces / folders[0]}"
        super().__init__(f"{name_some(folders)} in {faces} {are} a folder for each: {name_some(examples)}", hint)


class ImagesSkipped(DataError):
    """`--strict`: an image would be skipped."""

    code = "images_skipped"

    def __init__(self, faces: Path, skipped: Sequence[object]) -> None:
        count = "an image" if len(skipped) == 1 else f"{len(skipped)} images"
        super().__init__(
            f"{count} in {faces} cannot be built: {name_some(skipped)}",
            "replace or remove them, or build without --strict, which skips them",
        )


class SubjectsLost(DataError):
    """`lost` are subjects, each with what became of its files."""

    code = "subjects_lost"

    def __init__(self, faces: Path, lost: Sequence[str], subjects: int) -> None:
        super().__init__(
            f"{len(lost)} of {counted(subjects, 'subject')} in {faces} would have no image: {name_some(lost)}",
            "replace their files, or build without them: --allow-lost-subjects",
        )


class TooFewToSplit(DataError):
    """`found` says what there is, as in `3 subjects (a, b, c)`; `others` as in SubjectsNotRead, those that find
    more."""

    code = "too_few_to_split"

    def __init__(self, faces: Path, found: str, needed: str, others: Mapping[str, tuple[int, int]]) -> None:
        more = "add photos of more people, or of each"
        hint = f"choose the right --subject-pattern (by others it has: {_in_words(others)}), or {more}"
        super().__init__(f"{faces} has {found}; train and val need {needed}", hint if others else more)


class CannotFold(DataError):
    code = "cannot_fold"

    def __init__(self, faces: Path, subjects: int, folds: int) -> None:
        # Two folds put half of the people into test; the other half has to fill train and val.
        fewest, most = 2 if subjects >= 4 * FEWEST_SUBJECTS else 3, subjects // FEWEST_SUBJECTS
        super().__init__(
            f"{faces} has {counted(subjects, 'subject')}, which cannot be divided into {folds} folds: a fold needs "
            f"{FEWEST_SUBJECTS} of them in each of test, val and train",
            f"use --folds {fewest}{f' to {most}' if most > fewest else ''}, or add faces"
            if subjects >= 3 * FEWEST_SUBJECTS
            else f"use the faces of at least {3 * FEWEST_SUBJECTS} people",
        )


def _in_words(others: Mapping[str, tuple[int, int]]) -> str:
    return "; ".join(
        f"{name}: {counted(subjects, 'subject')} of {counted(images, 'image')}"
        for name, (subjects, images) in others.items()
    )
