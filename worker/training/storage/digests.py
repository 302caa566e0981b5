"""Digests of the inputs of a training, by which changed inputs are found."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

from app.finetune.checked_copy import Copies
from app.finetune.config import BICUBIC
from app.finetune.dataset import HR_FOLDER, VLR_FOLDER, DatasetScan, paired_hr
from app.finetune.dataset_check import ImageFacts, read_facts
from app.finetune.errors import UnreadableImages
from app.finetune.image_file import paths_of
from app.finetune.images import READER_VERSION
from app.finetune.part_reading import refuse_changed
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.paths import TrainingFiles

_BLOCK = 2**22
_FILES_AT_ONCE = 64

_IN_WORDS = {
    "edgeface": "the EdgeFace weights",
    "dsr": "the DSR weights",
    "train_vlr": "train's VLR images",
    "train_hr": "train's HR images",
    "val_vlr": "val's VLR images",
    "val_hr": "val's HR images",
    "reader": "the version of the image reader",
}


@dataclass(frozen=True, kw_only=True)
class Digests:
    """Digests by the field names in _IN_WORDS. `reader` is the version of the image reader that made the pixels, and is
    part of the digests of images; states of versions 0.1 and 0.2 lack it."""

    reader: int = 1

    def differences(self, others: Self) -> list[str]:
        """Return the inputs that differ, in words."""
        theirs = asdict(others)
        return [_IN_WORDS[name] for name, digest in asdict(self).items() if theirs[name] != digest]


@dataclass(frozen=True)
class InputDigests(Digests):
    """sha256 of the weights files (`dsr` is `bicubic` without one), and digests of the folders' images: sha256 over the
    version of the image reader and the name and the sha256 of every file, in order; a name begins with its subfolder.
    `train_hr` is None where the training does not read them."""

    edgeface: str
    dsr: str
    train_vlr: str
    val_vlr: str
    val_hr: str
    train_hr: str | None = None


@profiled("digests")
def digest_inputs(
    files: TrainingFiles,
    scan: DatasetScan,
    threads: int,
    control: Control,
    *,
    with_train_hr: bool = False,
    on_read: Callable[[int], None] = lambda _: None,
) -> InputDigests:
    """Read and hash every file once; `on_read` is called with the number of further images read.

    Raises TrainHrMissing, DatasetChanged, UnreadableImages and StopRequested.
    """
    paired = paired_hr(scan.train) if with_train_hr else None
    edgeface = sha256_of_weights(files.edgeface, files.copies, control)
    dsr = sha256_of_weights(files.dsr, files.copies, control) if files.dsr else BICUBIC
    train_vlr, val_vlr, val_hr, train_hr = (
        None if images is None else hash_images(paths_of(images), threads, control, on_read)
        for images in (scan.train.vlr_images, scan.val.vlr_images, scan.val.hr_images, paired)
    )
    refuse_changed(files.train_reading, scan.train, {**(train_vlr or {}), **(train_hr or {})})
    refuse_changed(files.val_reading, scan.val, {**(val_vlr or {}), **(val_hr or {})})
    return InputDigests(
        edgeface=edgeface,
        dsr=dsr,
        train_vlr=_digest_of(train_vlr),
        val_vlr=_digest_of(val_vlr),
        val_hr=_digest_of(val_hr),
        train_hr=None if train_hr is None else _digest_of(train_hr),
        reader=READER_VERSION,
    )


def sha256_of(path: Path, control: Control) -> str:
    """Read a file in blocks and hash it. Raises OSError and StopRequested."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            control.refuse_if_stopped()
            digest.update(block)
    return digest.hexdigest()


def sha256_of_weights(path: Path, copies: Copies | None, control: Control) -> str:
    """The digest of the file that was checked, where it was; else that of the file at this path now. Raises as
    `sha256_of`."""
    known = None if copies is None else copies.get(path)
    return sha256_of(path, control) if known is None else known.original_sha256


def refuse_unreadable(
    paths: Sequence[Path], threads: int, control: Control, on_done: Callable[[int], None] = lambda _: None
) -> dict[Path, ImageFacts]:
    """Decode every image and return what the checks need of its pixels. `on_done` is called with the number of files
    that were decoded so far.

    Raises UnreadableImages naming every file that cannot be decoded, and StopRequested.
    """

    def progress(done: int, _all: int) -> None:
        control.refuse_if_stopped()
        on_done(done)

    control.refuse_if_stopped()
    facts, unreadable = read_facts(paths, progress, threads)
    if unreadable:
        raise UnreadableImages(unreadable)
    return facts


@profiled("digests")
def hash_images(
    paths: Sequence[Path], threads: int, control: Control, on_read: Callable[[int], None] = lambda _: None
) -> dict[Path, bytes]:
    """Return the sha256 of each image in order, reading each file once. Raises UnreadableImages, OSError and
    StopRequested."""
    sha256s: list[bytes] = []
    try:
        with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
            for some in _some_at_once(paths):
                sha256s += map(bytes.fromhex, pool.map(partial(sha256_of, control=control), some))
                on_read(len(some))
    except OSError:
        refuse_unreadable(paths, threads, control)  # names all of them
        raise
    return dict(zip(paths, sha256s, strict=True))


def digest_of_images(paths: Sequence[Path], sha256s: Sequence[bytes], reader: int = READER_VERSION) -> str:
    """The digest of images whose files have these sha256s, as this version of the image reader reads them.

    It changes if an image moves to another subfolder of `vlr_images` or `hr_images`, which may name the person.
    """
    digest = hashlib.sha256()
    if reader != 1:  # Version 1 had no number.
        digest.update(f"reader {reader}\n".encode())
    for path, sha256 in zip(paths, sha256s, strict=True):
        digest.update(f"{_name_in_folder(path)}\0{sha256.hex()}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _name_in_folder(path: Path) -> str:
    """The name relative to the folder of images, with `/`; of images in a flat folder that of the file."""
    folder = next((parent for parent in path.parents if parent.name in (VLR_FOLDER, HR_FOLDER)), path.parent)
    return path.relative_to(folder).as_posix()


def _digest_of(sha256s: Mapping[Path, bytes] | None) -> str:
    return digest_of_images(list(sha256s or ()), list((sha256s or {}).values()))


def _some_at_once(paths: Sequence[Path]) -> list[Sequence[Path]]:
    return [paths[start : start + _FILES_AT_ONCE] for start in range(0, len(paths), _FILES_AT_ONCE)]
