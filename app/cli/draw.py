"""`edgeface-finetune dataset draw`: drawn faces, to try the service without photos of people."""

from pathlib import Path

import click

_PHOTO_SIZE = 160
"""Pixels: faces in photos of this size are aligned without being enlarged."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--subjects", default=24, show_default=True, type=click.IntRange(1, 1000), help="Number of people.")
@click.option("--images", default=8, show_default=True, type=click.IntRange(1, 1000), help="Images of each person.")
@click.option("--seed", default=42, show_default=True, help="The same seed draws the same faces.")
def draw(folder: Path, subjects: int, images: int, seed: int) -> None:
    """Draw faces into FOLDER, one folder per person, to try the service without photos.

    Drawn faces are no people: recognition measured on them means nothing for real faces.
    """
    from app.dataset_build.errors import OutputNotEmpty
    from app.drawn_faces import write_drawn_faces

    if folder.exists():
        raise OutputNotEmpty(folder)
    write_drawn_faces(folder, subjects, images, seed, _PHOTO_SIZE)
    click.echo(f"{folder}: {subjects * images} drawn faces of {subjects} subjects (drawings, not people)")
