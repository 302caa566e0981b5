"""Builds a dataset from faces, and prints what it finds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.alignment.installed import photo_aligner
from app.cli.alignment import Measured, bar, measure, print_aligned, print_measured
from app.dataset_build import BuiltDataset, Listener, Rules, SplitBy, build_dataset, build_folds
from app.dataset_build.skipped import Skipped, summary
from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.errors import PhotoCopied, printable
from app.finetune.subject_patterns import SubjectPattern
from app.settings import Settings

if TYPE_CHECKING:
    from app.alignment.photos import PhotoAligner

_MEASURED = 200
"""Faces whose distance from the template a build measures: about 5 seconds on two cores."""


def build_and_print(
    *,
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
    """Build what the command asks for, and print what it finds."""
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
