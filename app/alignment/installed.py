"""Imports the rest of this package, which needs the extra `align`, on demand."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.alignment.errors import AlignExtraMissing

if TYPE_CHECKING:
    from app.alignment.distance import Distances
    from app.alignment.photos import PhotoAligner, Progress

_OF_THE_EXTRA = ("ai_edge_litert",)


def photo_aligner(*, largest_face: bool, progress: "Progress | None" = None) -> "PhotoAligner":
    """Raises AlignExtraMissing."""
    try:
        from app.alignment.photos import PhotoAligner
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return PhotoAligner(largest_face=largest_face, progress=progress)


def distances(images: Sequence[Path], progress: "Progress | None" = None) -> "Distances":
    """Raises AlignExtraMissing."""
    try:
        from app.alignment.distance import measure_distances
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return measure_distances(images, progress)


def _missing(error: ModuleNotFoundError) -> Exception:
    module = (error.name or "").split(".")[0]
    return AlignExtraMissing(module) if module in _OF_THE_EXTRA else error
