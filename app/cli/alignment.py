"""Output of `dataset build --align` and `dataset check` about faces and the template."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress as Bar

from app.alignment.errors import AlignExtraMissing
from app.alignment.installed import distances, photo_aligner
from app.finetune.errors import name_some, printable

if TYPE_CHECKING:
    from app.alignment.photos import AlignmentReport, PhotoAligner, Progress

_WORST_NAMED = 5


@contextmanager
def align_photos(output: Path, *, largest_face: bool) -> Iterator["PhotoAligner"]:
    """Yield an aligner for `build_dataset`, and list all skipped photos at the end, even after an error."""
    aligner: PhotoAligner | None = None
    try:
        with _bar("looking for faces") as progress:
            aligner = photo_aligner(largest_face=largest_face, progress=progress)
            yield aligner
    finally:
        if aligner is not None and aligner.report is not None:
            for line in _left_out(aligner.report):
                click.echo(line)
    for sheet in aligner.contact_sheets:
        click.echo(f"to look at: {output / sheet}")


def _left_out(report: "AlignmentReport") -> Iterable[str]:
    widths = [photo.face_width for photo in report.photos if photo.face_width is not None]
    of_width = f"; the faces are {min(widths):.0f} to {max(widths):.0f} px wide" if widths else ""
    yield f"aligned {report.aligned} of {len(report.photos)} photos{of_width}"
    faces = {photo.photo: photo.faces for photo in report.photos}
    if report.no_face:
        yield f"skipped, no face found in {len(report.no_face)}:"
        yield from (f"  {name}" for name in report.no_face)
    if report.several_faces:
        yield f"skipped, several faces found in {len(report.several_faces)} (--largest-face uses the largest):"
        yield from (f"  {name}: {faces[name]} faces" for name in report.several_faces)
    if report.subjects_left_out:
        yield f"subjects without a photo: {len(report.subjects_left_out)} subjects:"
        yield from (f"  {name}" for name in report.subjects_left_out)
    if report.small_faces:
        yield f"used although the face is less than 32 px wide, {len(report.small_faces)}:"
        yield from (f"  {name}" for name in report.small_faces)


def print_distances(hr_images: Sequence[Path]) -> None:
    """Print the distance of the HR faces from the template, or that it is not measured without the extra `align`.
    Prints nothing for a dataset without HR images."""
    if not hr_images:
        return
    try:
        with _bar("measuring the faces") as progress:
            found = distances(hr_images, progress)
    except AlignExtraMissing as error:
        click.echo(f"alignment: not measured: {error.message}\n  hint: {error.hint}")
        return
    measured = (
        f"{found.measured} HR faces" if found.measured == found.of else f"{found.measured} of {found.of} HR faces"
    )
    if found.off:
        click.echo(
            f"alignment: {measured} are {found.median:.1f} px off the EdgeFace template "
            f"(median; 95th percentile {found.percentile_95:.1f} px of 112)"
        )
    if found.misaligned:
        click.echo(f"warning: faces are {found.median:.1f} px off: build with --align")
    if worst := [(pixels, path) for pixels, path in found.off[:_WORST_NAMED] if pixels > found.limit]:
        click.echo("furthest off: " + ", ".join(f"{printable(path)} ({pixels:.1f} px)" for pixels, path in worst))
    if found.without_face:
        click.echo(
            f"warning: no face is found in {len(found.without_face)} of {measured}: {name_some(found.without_face)}"
        )


@contextmanager
def _bar(label: str) -> Iterator["Progress"]:
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
