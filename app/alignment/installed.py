"""Imports the rest of this package, which needs the extra `align`, on demand."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.alignment.errors import AlignExtraMissing

if TYPE_CHECKING:
    from PIL import Image

    from app.alignment.distance import Distances, Progress
    from app.alignment.photos import PhotoAligner

_OF_THE_EXTRA = ("ai_edge_litert",)


def photo_aligner(photos: Path, *, largest_face: bool) -> "PhotoAligner":
    """Raises AlignExtraMissing."""
    try:
        from app.alignment.photos import PhotoAligner
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return PhotoAligner(photos, largest_face=largest_face)


def distances(images: Sequence[Path], progress: "Progress | None" = None, most: int | None = None) -> "Distances":
    """As `measure_distances`. Raises AlignExtraMissing."""
    try:
        from app.alignment.distance import MOST_MEASURED, measure_distances
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return measure_distances(images, progress, most or MOST_MEASURED)


def misalignments(faces: "Sequence[Image.Image]") -> list[float | None]:
    """As `measure_misalignments` of distance.py. Raises AlignExtraMissing."""
    try:
        from app.alignment.distance import measure_misalignments
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return measure_misalignments(faces)


def _missing(error: ModuleNotFoundError) -> Exception:
    module = (error.name or "").split(".")[0]
    return AlignExtraMissing(module) if module in _OF_THE_EXTRA else error
