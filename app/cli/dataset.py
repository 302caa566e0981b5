"""`edgeface-finetune dataset`: build one from faces, check one."""

import sys
from contextlib import nullcontext
from pathlib import Path

import click

from app.cli.alignment import align_photos, tell_distances
from app.dataset_build import SplitBy, build_dataset
from app.finetune.config import FACE_SIZE
from app.finetune.dataset import find_unreadable, scan_dataset
from app.settings import Settings


@click.group()
def dataset() -> None:
    """Build and check datasets."""


@dataset.command()
@click.argument("faces", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to make. Default: FACES's name in the datasets root."
)
@click.option("--vlr-size", default=16, show_default=True, type=click.IntRange(4, FACE_SIZE - 1))
@click.option(
    "--split",
    type=click.Choice(["subjects", "images"]),
    default="subjects",
    show_default=True,
    help="Keep val's people out of train, or give some images of each person to val.",
)
@click.option("--val-fraction", default=0.25, show_default=True, type=click.FloatRange(0.01, 0.9))
@click.option("--seed", default=42, show_default=True)
@click.option("--align", is_flag=True, help="Find the face in each photo and move it to the EdgeFace template.")
@click.option("--largest-face", is_flag=True, help="With --align: where a photo shows several faces, take the largest.")
def build(
    faces: Path,
    output: Path | None,
    vlr_size: int,
    split: SplitBy,
    val_fraction: float,
    seed: int,
    align: bool,
    largest_face: bool,
) -> None:
    """Make a dataset from FACES, a folder per subject, in the layout that jobs train on.

    Without --align, faces should be aligned to the EdgeFace template already; larger ones are cut to their centre
    square.
    """
    if largest_face and not align:
        raise click.UsageError("--largest-face needs --align")
    output = output or Settings().datasets_dir / faces.resolve().name
    with align_photos(output, largest_face=largest_face) if align else nullcontext() as face_source:
        built = build_dataset(
            faces,
            output,
            face_source=face_source,
            vlr_size=vlr_size,
            split=split,
            val_fraction=val_fraction,
            seed=seed,
        )
    click.echo(
        f"{built.output}: train {built.train_images} images of {built.train_subjects} subjects, "
        f"val {built.val_images} images of {built.val_subjects} subjects, VLR {vlr_size} px"
    )


@dataset.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def check(folder: Path) -> None:
    """Find what is wrong with the dataset in FOLDER before a job does. Exit status 2 if it cannot be trained on."""
    scan = scan_dataset(folder / "train_processed", folder / "val_processed")
    for name, split in (("train", scan.train), ("val", scan.val)):
        click.echo(
            f"{name}: {len(split.vlr_images)} VLR and {len(split.hr_images)} HR images "
            f"of {len(split.subjects)} subjects"
        )
    click.echo(f"the best epoch will be chosen by {scan.selection}")
    for warning in scan.warnings:
        click.echo(f"warning: {warning.message}")
    images = [*scan.train.vlr_images, *scan.train.hr_images, *scan.val.vlr_images, *scan.val.hr_images]
    unreadable = find_unreadable(images)
    for path, reason in unreadable.items():
        click.echo(f"unreadable: {path}: {reason}")
    if unreadable:
        sys.exit(2)
    click.echo(f"all {len(images)} images decode")
    tell_distances([*scan.train.hr_images, *scan.val.hr_images])
