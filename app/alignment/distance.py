"""Distance of a dataset's HR faces from the template."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from app.alignment.photos import Finders
from app.alignment.template import misalignment
from app.cores import cores
from app.finetune.alignment_distance import MISALIGNED, AlignmentDistance
from app.finetune.config import FACE_SIZE
from app.finetune.images import read_rgb

Progress = Callable[[int, int], None]
"""Called with the number of images done and their total."""

MOST_MEASURED = 2000


@dataclass(frozen=True)
class Distances:
    """Misalignments of the measured faces in pixels (see template.misalignment), the worst first. `of` is the number of
    images; `without_face` are the measured images without a detected face."""

    off: tuple[tuple[float, Path], ...]
    without_face: tuple[Path, ...]
    of: int

    @property
    def measured(self) -> int:
        return len(self.off) + len(self.without_face)

    @property
    def median(self) -> float:
        return float(np.median([pixels for pixels, _ in self.off]))

    @property
    def percentile_95(self) -> float:
        return float(np.percentile([pixels for pixels, _ in self.off], 95))

    @property
    def limit(self) -> float:
        """Distance in pixels above which a face counts as not aligned."""
        return MISALIGNED

    @property
    def summary(self) -> AlignmentDistance:
        """What a manifest keeps."""
        return AlignmentDistance(
            images=self.of,
            measured=self.measured,
            without_face=len(self.without_face),
            median=round(self.median, 2) if self.off else None,
            percentile_95=round(self.percentile_95, 2) if self.off else None,
            limit=self.limit,
        )

    @property
    def misaligned(self) -> bool:
        """Whether the dataset should be rebuilt with alignment."""
        return bool(self.off) and self.median > MISALIGNED


def measure_misalignments(faces: Sequence[Image.Image]) -> list[float | None]:
    """Return the misalignment of the largest face in each image in pixels, None without a face. The images are RGB,
    112x112."""
    finders = Finders()
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(lambda image: _misalignment(finders, image), faces))


def measure_distances(images: Sequence[Path], progress: Progress | None = None, most: int = MOST_MEASURED) -> Distances:
    """Measure the faces of readable images, of more than `most` images as many, evenly spaced in the given order."""
    step = max(1.0, len(images) / most)
    chosen = [images[int(index * step)] for index in range(min(len(images), most))]
    finders = Finders()
    off: list[tuple[float, Path]] = []
    without: list[Path] = []
    pool = ThreadPoolExecutor(cores())
    try:
        for done, (image, pixels) in enumerate(
            zip(chosen, pool.map(lambda path: _measure(finders, path), chosen), strict=True), 1
        ):
            if pixels is None:
                without.append(image)
            else:
                off.append((pixels, image))
            if progress is not None:
                progress(done, len(chosen))
    finally:
        pool.shutdown(cancel_futures=True)
    return Distances(tuple(sorted(off, reverse=True)), tuple(without), len(images))


def _measure(finders: Finders, path: Path) -> float | None:
    """Return the misalignment of the largest face, or None without a face. The image is stretched to 112x112, as in
    training."""
    image = read_rgb(path)
    if image.size != (FACE_SIZE, FACE_SIZE):
        image = image.resize((FACE_SIZE, FACE_SIZE), Image.Resampling.BILINEAR)
    return _misalignment(finders, image)


def _misalignment(finders: Finders, image: Image.Image) -> float | None:
    faces = finders.mine().find(image)
    return misalignment(faces[0].landmarks_52) if faces else None
