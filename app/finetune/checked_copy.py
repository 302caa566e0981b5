"""The copy of a weights file that a trainer opens in its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.finetune.weights_errors import WeightsUnreadable


@dataclass(frozen=True)
class CheckedCopy:
    """`path` is a safetensors file with the network's tensors, float32, by its own names, and `sha256` its digest. It
    was made from the file `original`, whose digest was `original_sha256`."""

    path: Path
    sha256: str
    original: Path
    original_sha256: str


Copies = Mapping[Path, CheckedCopy | None]
"""By the path of the file that a config names. None: this process wrote the file itself, and opens it."""


def copy_of(copies: Copies | None, path: Path) -> CheckedCopy | Path:
    """The copy of the file, or the file itself where nothing was checked ahead (`copies` is None).

    Raises WeightsUnreadable for a file that the check left out.
    """
    if copies is None:
        return path
    if path not in copies:
        raise WeightsUnreadable(path, "it was not checked when the job began")
    return copies[path] or path
