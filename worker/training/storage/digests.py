"""Digests of the inputs of a training, by which changed inputs are found."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

from app.finetune.config import BICUBIC
from app.finetune.dataset import DatasetScan, paired_hr
from app.finetune.errors import UnreadableImages
from app.finetune.images import find_unreadable
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.paths import TrainingFiles

_BLOCK = 2**22
_FILES_AT_ONCE = 256

_IN_WORDS = {
    "edgeface": "the EdgeFace weights",
    "dsr": "the DSR weights",
    "train_vlr": "train's VLR images",
    "train_hr": "train's HR images",
    "val_vlr": "val's VLR images",
    "val_hr": "val's HR images",
}


@dataclass(frozen=True)
class Digests:
    """Digests by the field names in _IN_WORDS."""

    def differences(self, others: Self) -> list[str]:
        """Return the inputs that differ, in words."""
        theirs = asdict(others)
        return [_IN_WORDS[name] for name, digest in asdict(self).items() if theirs[name] != digest]


@dataclass(frozen=True)
class InputDigests(Digests):
    """sha256 of the weights files (`dsr` is `bicubic` without one), and digests of the folders' images: sha256 over the
    name and the sha256 of every file, in order. `train_hr` is None where the training does not read them."""

    edgeface: str
    dsr: str
    train_vlr: str
    val_vlr: str
    val_hr: str
    train_hr: str | None = None


@profiled("digests")
def digest_inputs(
    files: TrainingFiles, scan: DatasetScan, threads: int, control: Control, *, with_train_hr: bool = False
) -> InputDigests:
    """Read and hash every file once. Raises TrainHrMissing, UnreadableImages and StopRequested."""
    train_hr = paired_hr(scan.train) if with_train_hr else None
    return InputDigests(
        edgeface=sha256_of(files.edgeface, control),
        dsr=sha256_of(files.dsr, control) if files.dsr else BICUBIC,
        train_vlr=digest_images(scan.train.vlr_images, threads, control),
        val_vlr=digest_images(scan.val.vlr_images, threads, control),
        val_hr=digest_images(scan.val.hr_images, threads, control),
        train_hr=None if train_hr is None else digest_images(train_hr, threads, control),
    )


def sha256_of(path: Path, control: Control) -> str:
    """Read a file in blocks and hash it. Raises OSError and StopRequested."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            control.refuse_if_stopped()
            digest.update(block)
    return digest.hexdigest()


def refuse_unreadable(paths: Sequence[Path], threads: int, control: Control) -> None:
    """Raises UnreadableImages naming every file that cannot be decoded, and StopRequested."""
    reasons: dict[Path, str] = {}
    for some in _some_at_once(paths):
        control.refuse_if_stopped()
        reasons |= find_unreadable(some, threads)
    if reasons:
        raise UnreadableImages(reasons)


@profiled("digests")
def digest_images(paths: Sequence[Path], threads: int, control: Control) -> str:
    """Return the digest of images, reading each file once. Raises UnreadableImages, OSError and StopRequested."""
    sha256s: list[bytes] = []
    try:
        with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
            for some in _some_at_once(paths):
                sha256s += map(bytes.fromhex, pool.map(partial(sha256_of, control=control), some))
    except OSError:
        refuse_unreadable(paths, threads, control)  # names all of them
        raise
    return digest_of_images(paths, sha256s)


def digest_of_images(paths: Sequence[Path], sha256s: Sequence[bytes]) -> str:
    """The digest of images whose files have these sha256s."""
    digest = hashlib.sha256()
    for path, sha256 in zip(paths, sha256s, strict=True):
        digest.update(f"{path.name}\0{sha256.hex()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _some_at_once(paths: Sequence[Path]) -> list[Sequence[Path]]:
    return [paths[start : start + _FILES_AT_ONCE] for start in range(0, len(paths), _FILES_AT_ONCE)]
