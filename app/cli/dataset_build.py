"""`edgeface-finetune dataset build`: build a dataset from faces."""

from pathlib import Path
from typing import Any

import click

from app.finetune.config import FACE_SIZE
from app.finetune.subject_patterns import NAMED_PATTERNS


@click.command()
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
@click.option(
    "--subject-pattern",
    default="folder",
    show_default=True,
    metavar="PATTERN",
    help=f"How the path of a photo names its subject: {', '.join(NAMED_PATTERNS)}, or a regular expression of the path "
    "without suffix whose first group is the subject.",
)
@click.option(
    "--min-size", default=0, type=click.IntRange(min=0), metavar="PX", help="Skip faces of fewer pixels in their photo."
)
@click.option("--strict", is_flag=True, help="Build nothing if an image cannot be read or shows no face to align.")
@click.option("--allow-lost-subjects", is_flag=True, help="Build without the subjects that have no usable image.")
@click.option(
    "--allow-leak",
    multiple=True,
    metavar="NAME",
    help="Leak to accept, as in a job's allowed_leaks: FILE, a=b or *. May be repeated.",
)
def build(**options: Any) -> None:
    """Build a dataset from FACES, one folder of photos per subject, in the layout that jobs train on.

    Train, val and test show different people. Val selects the best epoch; `evaluate` measures on test. Without --align,
    faces should be aligned to the EdgeFace template already; larger images are cropped to their centre square. What a
    job would refuse is not built.
    """
    if options["largest_face"] and not options["align"]:
        raise click.UsageError("--largest-face needs --align")
    if options["folds"] is not None and options["split"] == "images":
        raise click.UsageError("--folds splits by people: omit --split images")
    from app.cli.run.dataset_build import build_and_print

    build_and_print(**options)
