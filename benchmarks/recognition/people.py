"""Real faces: ORL in four folds of ten unseen people each, and Yale, which no training uses."""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from worker.training.data.preprocess import decode, enlarge_bicubic, resize_bicubic

# Shape suffixes: N images, C = 3 channels (RGB), H = W = 112 pixels; _u8 is uint8 in 0..255.

FOLDS = 4


@dataclass(frozen=True)
class People:
    """Aligned HR faces, uint8 [N, 3, 112, 112], named SUBJECT_IMAGE.png."""

    names: tuple[str, ...]
    hr_u8_NCHW: Tensor
    files: tuple[Path, ...]

    def vlr(self, size: int) -> Tensor:
        """uint8 [N, 3, size, size], reduced by the project's resampler."""
        return resize_bicubic(self.hr_u8_NCHW, size)


@dataclass(frozen=True)
class Fold:
    """A split of ORL's 40 people: 30 for training, 10 unseen."""

    number: int
    train: People
    unseen: People


def read_people(folder: Path, names: list[str] | None = None) -> People:
    """Read `folder/PERSON/IMAGE.png` of all people or of those named, sorted by name."""
    chosen = sorted(path.name for path in folder.iterdir() if path.is_dir()) if names is None else sorted(names)
    paths = [path for name in chosen for path in sorted((folder / name).glob("*.png"))]
    images_u8 = torch.stack([torch.from_numpy(decode(path).copy()).permute(2, 0, 1) for path in paths])
    # `_` ends the subject in a file name.
    files = tuple(Path(f"{path.parent.name.replace('_', '-')}_{path.name}") for path in paths)
    return People(tuple(chosen), enlarge_bicubic(images_u8), files)


def unseen_of(folder: Path) -> list[list[str]]:
    """Return the ten unseen people of each fold: sorted by name, shuffled by random.Random(0), in tens."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    random.Random(0).shuffle(names)
    return [names[first : first + len(names) // FOLDS] for first in range(0, len(names), len(names) // FOLDS)]


def read_fold(folder: Path, number: int) -> Fold:
    tens = unseen_of(folder)
    others = [name for index, ten in enumerate(tens) if index != number for name in ten]
    return Fold(number, read_people(folder, others), read_people(folder, tens[number]))
