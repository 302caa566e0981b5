"""`edgeface-finetune dataset`: build a dataset from faces, or check one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.alignment.installed import photo_aligner
from app.cli.alignment import Measured, bar, measure, print_aligned, print_measured
from app.cli.dataset_check import check
from app.cli.dataset_records import RECORD_COMMANDS
from app.cli.draw import draw
from app.dataset_build import BuiltDataset, Listener, Rules, SplitBy, build_dataset, build_folds
from app.dataset_build.skipped import Skipped, summary
from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.config import FACE_SIZE
from app.finetune.errors import PhotoCopied, printable
from app.finetune.subject_patterns import NAMED_PATTERNS, SubjectPattern
from app.settings import Settings

if TYPE_CHECKING:
    from app.alignment.photos import PhotoAligner

_MEASURED = 200
"""Faces whose distance from the template a build measures: about 5 seconds on two cores."""


@click.group()
def dataset() -> None:
    """Build and check datasets."""


for _command in (*RECORD_COMMANDS, check, draw):
    dataset.add_command(_command)


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
    subject_pattern: str,
    min_size: int,
    strict: bool,
    allow_lost_subjects: bool,
    allow_leak: tuple[str, ...],
) -> None:
    """Build a dataset from FACES, one folder of photos per subject, in the layout that jobs train on.

    Train, val and test show different people. Val selects the best epoch; `evaluate` measures on test. Without --align,
    faces should be aligned to the EdgeFace template already; larger images are cropped to their centre square. What a
    job would refuse is not built.
    """
    if largest_face and not align:
        raise click.UsageError("--largest-face needs --align")
    if folds is not None and split == "images":
        raise click.UsageError("--folds splits by people: omit --split images")
    output = output or Settings().datasets_dir / faces.resolve().name
    rules = Rules(SubjectPattern(subject_pattern), min_size, strict, allow_lost_subjects, allow_leak)
    aligner = photo_aligner(faces, largest_face=largest_face) if align else None
    printer = _Printer(aligner)
    with bar("reading the photos") as progress, printer.naming_leaks():
        build_it: Callable[..., BuiltDataset | list[BuiltDataset]]
        build_it = partial(build_dataset, split=split, test_fraction=test_fraction)
        if folds is not None:
            build_it = partial(build_folds, folds=folds)
        made = build_it(
            faces,
            output,
            face_source=aligner,
            vlr_size=vlr_size,
            val_fraction=val_fraction,
            seed=seed,
            rules=rules,
            listener=Listener(progress, printer.skipped, printer.measure),
        )
    built = made if isinstance(made, list) else [made]
    printer.built(output, built, vlr_size)
    if test_fraction and built[0].part("test") is None:
        click.echo("no test split: there are too few subjects, or images of each, for three")


class _Printer:
    """Prints what a build does."""

    def __init__(self, aligner: "PhotoAligner | None") -> None:
        self._aligner = aligner
        self._measured = Measured()

    def skipped(self, skipped: Sequence[Skipped]) -> None:
        """Name every image that is skipped, and count the other files, also where nothing is built in the end."""
        if self._aligner is not None:
            print_aligned(self._aligner.report)
        for line in summary(skipped):
            click.echo(line)
        for each in skipped:
            if each.is_image:
                click.echo(f"  {each}")

    @contextmanager
    def naming_leaks(self) -> Iterator[None]:
        """Name every leak that is refused; the error names some."""
        try:
            yield
        except PhotoCopied as error:
            for copy in error.copies:
                click.echo(printable(f"leak: {copy}"))
            raise

    def measure(self, hr_images: Sequence[Path]) -> AlignmentDistance | None:
        self._measured = measure(hr_images, _MEASURED)
        return None if self._measured.distances is None else self._measured.distances.summary

    def built(self, output: Path, built: Sequence[BuiltDataset], vlr_size: int) -> None:
        for sheet in self._aligner.contact_sheets if self._aligner is not None else ():
            click.echo(f"to look at: {output / sheet}")
        for each in built:
            click.echo(f"{each.output}: {each}, VLR {vlr_size} px")
        for message in dict.fromkeys(warning.message for each in built for warning in each.warnings):
            click.echo(printable(f"warning: {message}"))
        for copy in dict.fromkeys(str(copy) for each in built for copy in each.allowed):
            click.echo(printable(f"leak allowed: {copy}; a job has to name it in allowed_leaks too"))
        print_measured(self._measured, lambda path: printable(path.name), advise=self._aligner is None)
