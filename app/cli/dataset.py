"""`edgeface-finetune dataset`: build a dataset from faces, or check one."""

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from app.cli.alignment import align_photos, print_distances
from app.dataset_build import SplitBy, build_dataset, build_folds
from app.finetune.config import FACE_SIZE
from app.finetune.dataset import (
    PART_FOLDERS,
    TEST_FOLDER,
    TRAIN_FOLDER,
    VAL_FOLDER,
    scan_dataset,
    scan_split,
    split_warnings,
)
from app.finetune.leaks import AllowedLeaks, Copy, find_copies, images_of, read_prints
from app.settings import Settings

_THREADS = 8


@click.group()
def dataset() -> None:
    """Build and check datasets."""


@dataset.command()
@click.argument("faces", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to create. Default: FACES's name in the datasets root."
)
@click.option("--vlr-size", default=16, show_default=True, type=click.IntRange(4, FACE_SIZE - 1))
@click.option(
    "--split",
    type=click.Choice(["subjects", "images"]),
    default="subjects",
    show_default=True,
    help="Put each person into one split, or some images of each person into each split (closed set).",
)
@click.option("--val-fraction", default=0.2, show_default=True, type=click.FloatRange(0.01, 0.9))
@click.option(
    "--test-fraction", default=0.2, show_default=True, type=click.FloatRange(0, 0.9), help="0 makes no test split."
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Make this many datasets, OUTPUT/fold-1 and so on. Each person is in the test split of one of them.",
)
@click.option("--seed", default=42, show_default=True)
@click.option("--align", is_flag=True, help="Find the face in each photo and align it to the EdgeFace template.")
@click.option("--largest-face", is_flag=True, help="With --align: use the largest of several faces in a photo.")
def build(
    faces: Path,
    output: Path | None,
    vlr_size: int,
    split: SplitBy,
    val_fraction: float,
    test_fraction: float,
    folds: int | None,
    seed: int,
    align: bool,
    largest_face: bool,
) -> None:
    """Build a dataset from FACES, one folder per subject, in the layout that jobs train on.

    Train, val and test show different people. Val selects the best epoch; `evaluate` measures on test. Without --align,
    faces should be aligned to the EdgeFace template already; larger images are cropped to their centre square.
    """
    if largest_face and not align:
        raise click.UsageError("--largest-face needs --align")
    output = output or Settings().datasets_dir / faces.resolve().name
    if folds is not None and split == "images":
        raise click.UsageError("--folds splits by people: omit --split images")
    with align_photos(output, largest_face=largest_face) if align else nullcontext() as face_source:
        if folds is None:
            fractions = {"val_fraction": val_fraction, "test_fraction": test_fraction}
            built = [
                build_dataset(
                    faces, output, face_source=face_source, vlr_size=vlr_size, split=split, seed=seed, **fractions
                )
            ]
        else:
            built = build_folds(
                faces,
                output,
                folds=folds,
                face_source=face_source,
                vlr_size=vlr_size,
                val_fraction=val_fraction,
                seed=seed,
            )
    for each in built:
        click.echo(f"{each.output}: {each}, VLR {vlr_size} px")
    if test_fraction and built[0].part("test") is None:
        click.echo("no test split: there are too few subjects, or images of each, for three")
    # Every fold has the same photos, and most leaks are between subjects.
    for copy in _copies_in(built[0].output):
        click.echo(f"leak: {copy}; jobs refuse it unless allowed_leaks names it")


@dataset.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--allow-leak",
    multiple=True,
    metavar="NAME",
    help="Leak to accept, as in a job's allowed_leaks: FILE, a=b or *. May be repeated.",
)
def check(folder: Path, allow_leak: tuple[str, ...]) -> None:
    """Check the dataset in FOLDER. Exit status 2 if it cannot be trained on.

    A photo in two splits or under two names is a leak. Only a job finds people under two names, since that needs a
    backbone.
    """
    scan = scan_dataset(folder / TRAIN_FOLDER, folder / VAL_FOLDER)
    parts = {"train": scan.train, "val": scan.val}
    warnings = list(scan.warnings)
    if (folder / TEST_FOLDER).is_dir():
        parts["test"] = scan_split(folder / TEST_FOLDER)
        warnings += split_warnings(parts["test"], "test")
    for name, split in parts.items():
        click.echo(
            f"{name}: {len(split.vlr_images)} VLR and {len(split.hr_images)} HR images "
            f"of {len(split.subjects)} subjects"
        )
    click.echo(f"the best epoch will be selected by {scan.selection}")
    for warning in warnings:
        click.echo(f"warning: {warning.message}")
    images = [path for split in parts.values() for path in (*split.vlr_images, *split.hr_images)]
    prints, unreadable = read_prints(images, threads=_THREADS)
    for path, reason in unreadable.items():
        click.echo(f"unreadable: {path}: {reason}")
    allowed = AllowedLeaks(allow_leak)
    leaks = [copy for copy in find_copies(parts, prints, threads=_THREADS) if not allowed.copy(copy)]
    for copy in leaks:
        click.echo(f"leak: {copy}")
    if unreadable or leaks:
        sys.exit(2)
    click.echo(f"all {len(images)} images decode, and no photo is in two splits or under two names")
    print_distances([path for split in parts.values() for path in split.hr_images])


def _copies_in(folder: Path) -> list[Copy]:
    folders = {name: folder / part for name, part in PART_FOLDERS.items()}
    parts = {name: scan_split(part) for name, part in folders.items() if part.is_dir()}
    prints, _ = read_prints(images_of(parts), threads=_THREADS)
    return find_copies(parts, prints, threads=_THREADS)
