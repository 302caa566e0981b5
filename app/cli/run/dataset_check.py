"""Checks a dataset: what a job would refuse of it, or warn of."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from app.cli.alignment import Measured, bar, measure, print_measured
from app.finetune.counted import counted
from app.finetune.dataset_check import DatasetCheck, check_dataset
from app.finetune.dataset_folders import TRAIN_FOLDER, WHOLE
from app.finetune.errors import DataError, EdgefaceError, printable
from app.finetune.leaks import AllowedLeaks
from app.finetune.listing import parts_of
from app.finetune.manifest import built_pattern
from app.finetune.subject_patterns import SubjectPattern
from app.settings import Settings


def check_and_print(dataset: str, allow_leak: tuple[str, ...], subject_pattern: str | None, *, as_json: bool) -> None:
    """Print what a job would refuse or warn of. Exits with status 2 if the dataset cannot be trained on."""
    folder = find_dataset(dataset)
    pattern = built_pattern(folder / TRAIN_FOLDER) if subject_pattern is None else SubjectPattern(subject_pattern)
    if as_json:
        _print_json(folder, pattern, allow_leak)
        return
    with bar("reading the images") as progress:
        found = check_dataset(folder, AllowedLeaks(allow_leak), pattern, progress)
    print_parts(found)
    for path, reason in found.unreadable.items():
        click.echo(f"unreadable: {printable(path)}: {reason}")
    for copy in found.leaks:
        click.echo(printable(f"leak: {copy}"))
    if found.refusals:
        sys.exit(2)
    click.echo(f"all {found.images} images decode, and no photo is in two splits or under two names")
    print_measured(measure(found.hr_images))


def find_dataset(name: str) -> Path:
    """Return the folder of this path if it has a part of a dataset, or else of this name in the datasets root.

    A folder of photos often has the name of its dataset. Raises OutsideRoots or DatasetNotFound, as for a config.
    """
    folder, root = Path(name), Settings().datasets_dir
    if folder.is_dir() and (parts_of(folder) != [WHOLE] or not (root / name).is_dir()):
        return folder
    from app.inputs.names import find_folder

    return find_folder("dataset", name, root)


def print_parts(found: DatasetCheck) -> None:
    """Print the size of each part, how the best epoch is selected, and the warnings."""
    for name, split in found.parts.items():
        click.echo(
            f"{name}: {len(split.vlr_images)} VLR and {counted(len(split.hr_images), 'HR image')} "
            f"of {counted(len(split.subjects), 'subject')}"
        )
    click.echo(f"the best epoch will be selected by {found.scan.selection}")
    for warning in found.warnings:
        click.echo(printable(f"warning: {warning.message}"))


def _print_json(folder: Path, pattern: SubjectPattern, allow_leak: tuple[str, ...]) -> None:
    try:
        found = check_dataset(folder, AllowedLeaks(allow_leak), pattern)
    except DataError as error:
        click.echo(json.dumps({"folder": printable(folder), "trainable": False, "refused": [_report(error)]}))
        sys.exit(2)
    click.echo(json.dumps(_as_json(folder, pattern, found, measure(found.hr_images))))
    if found.refusals:
        sys.exit(2)


def _as_json(folder: Path, pattern: SubjectPattern, found: DatasetCheck, measured: Measured) -> dict[str, Any]:
    distances = measured.distances
    return {
        "folder": printable(folder),
        "subject_pattern": pattern.text,
        "trainable": not found.refusals,
        "refused": [_report(error) for error in found.refusals],
        "parts": {
            name: {
                "vlr_images": len(split.vlr_images),
                "hr_images": len(split.hr_images),
                "subjects": len(split.subjects),
            }
            for name, split in found.parts.items()
        },
        "selection": found.scan.selection,
        "warnings": [{"code": each.code, "message": printable(each.message)} for each in found.warnings],
        "unreadable": {printable(path): reason for path, reason in found.unreadable.items()},
        "leaks": [printable(copy) for copy in found.leaks],
        "allowed_leaks": [printable(copy) for copy in found.allowed],
        "alignment": None if distances is None else distances.summary.model_dump(),
    }


def _report(error: EdgefaceError) -> dict[str, Any]:
    return error.report().model_dump()
