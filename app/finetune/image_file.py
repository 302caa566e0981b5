"""An image of a dataset with the names that its file gives it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ImageFile:
    """`subject` is the person that the image shows. The VLR and the HR image of one photo have the same `photo`."""

    path: Path
    subject: str
    photo: str

    @property
    def name(self) -> str:
        return self.path.name


def paths_of(images: Iterable[ImageFile]) -> tuple[Path, ...]:
    return tuple(image.path for image in images)
