"""Output of `dataset build` and `dataset check` about faces and the template."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress as Bar

from app.alignment.errors import AlignExtraMissing
from app.alignment.installed import distances
from app.finetune.counted import by_number, counted
from app.finetune.errors import name_some, printable

if TYPE_CHECKING:
    from app.alignment.distance import Distances
    from app.alignment.photos import AlignmentReport

_WORST_NAMED = 5


@dataclass(frozen=True)
class Measured:
    """The distance of HR faces from the template, or why it is not measured."""

    distances: "Distances | None" = None
    not_measured: AlignExtraMissing | None = None


def measure(hr_images: Sequence[Path], most: int | None = None) -> Measured:
    """Measure all HR images, or `most` of them. Without the extra `align`, or HR images, it measures none."""
    if not hr_images:
        return Measured()
    try:
        with bar("measuring the faces") as progress:
            return Measured(distances(hr_images, progress, most))
    except AlignExtraMissing as error:
        return Measured(not_measured=error)


def print_measured(measured: Measured, name: Callable[[Path], str] = printable, *, advise: bool = True) -> None:
    """Print the distances, or that they are not measured. Files are called by their `name`. `advise` to align."""
    if measured.not_measured is not None:
        error = measured.not_measured
        click.echo(f"alignment: not measured: {error.message}\n  hint: {error.hint}")
    if (found := measured.distances) is None:
        return
    faces = (
        counted(found.measured, "HR face")
        if found.measured == found.of
        else f"{found.measured} of {counted(found.of, 'HR face')}"
    )
    if found.off:
        click.echo(
            f"alignment: {faces} {by_number(found.measured, 'is', 'are')} {found.median:.1f} px off the EdgeFace "
            f"template (median; 95th percentile {found.percentile_95:.1f} px of 112)"
        )
    if found.misaligned and advise:
        click.echo(
            f"warning: faces are {found.median:.1f} px off: build with --align, which gains more than any fine-tuning"
        )
    if worst := [(pixels, path) for pixels, path in found.off[:_WORST_NAMED] if pixels > found.limit]:
        click.echo("furthest off: " + ", ".join(f"{name(path)} ({pixels:.1f} px)" for pixels, path in worst))
    if found.without_face:
        names = name_some([name(path) for path in found.without_face])
        click.echo(f"warning: no face is found in {len(found.without_face)} of {faces}: {names}")


def print_aligned(report: "AlignmentReport") -> None:
    """Print how many photos were aligned, how wide their faces are, and which faces are small."""
    widths = [photo.face_width for photo in report.photos if photo.face_width is not None]
    of_width = f"; the faces are {min(widths):.0f} to {max(widths):.0f} px wide" if widths else ""
    click.echo(f"aligned {report.aligned} of {counted(len(report.photos), 'photo')}{of_width}")
    if report.small_faces:
        click.echo(f"used although the face is less than 32 px wide, {len(report.small_faces)}:")
        for name in report.small_faces:
            click.echo(f"  {name}")


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; yields a function of the number done and the total."""
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(label, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
