"""Images named by the guide's rule, without a folder to scan."""

from collections.abc import Iterable
from pathlib import Path

from app.finetune.dataset import ImageFile


def image_files(paths: Iterable[Path | str]) -> tuple[ImageFile, ...]:
    return tuple(ImageFile(path, path.stem.partition("_")[0], path.stem) for path in map(Path, paths))
