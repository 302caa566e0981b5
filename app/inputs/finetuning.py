"""What a config names, found inside the configured roots and checked as far as it can be without a GPU."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from sqlmodel import Session

from app.artifacts import Artifacts
from app.finetune.architectures import infer_dsr_layout, recognise_edgeface
from app.finetune.config import BICUBIC, FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import (
    BICUBIC_ENLARGEMENT,
    TRAIN_FOLDER,
    VAL_FOLDER,
    JobWarning,
    Split,
    paired_hr,
    refuse_unreadable,
    scan_dataset,
)
from app.finetune.leaks import AllowedLeaks, PartImage, exact_copies, refuse_copies
from app.finetune.same_photo import Print, read_print
from app.inputs.weights_file import read_shapes
from app.jobs.errors import DatasetNotFound, OutsideRoots, WeightsNotFound
from app.jobs.made_weights import find_made, job_named
from app.settings import Settings

_THREADS = 8

_FileKey = tuple[Path, int, int]
"""Path, modification time and size."""


@dataclass(frozen=True)
class Inputs:
    """The folders and files of one job. `dsr` is None for bicubic enlargement; `invented_faces` are made of
    train's HR images."""

    train_dir: Path
    val_dir: Path
    edgeface: Path
    dsr: Path | None
    invented_faces: int = 0


def find_inputs(config: FinetuneConfig, settings: Settings, session: Session) -> Inputs:
    """Raises OutsideRoots, DatasetNotFound or what `find_weights` raises, each naming the config's field."""
    return Inputs(
        train_dir=find_folder("train_dir", config.train_dir or "", settings.datasets_dir),
        val_dir=find_folder("val_dir", config.val_dir or "", settings.datasets_dir),
        edgeface=find_weights("edgeface", config.edgeface, settings, session),
        dsr=None if config.dsr == BICUBIC else find_weights("dsr", config.dsr, settings, session),
        invented_faces=config.invented_people * FACES_OF_EACH,
    )


class DatasetChecks:
    """Remembers which images were decoded whole, so that only new or changed ones are decoded again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._good: set[_FileKey] = set()
        self._prints: dict[_FileKey, Print] = {}

    def refuse_unreadable(self, paths: Sequence[Path]) -> list[JobWarning]:
        """Raises UnreadableImages. A warning where the dataset has more images than are checked at submission."""
        unseen = {key: key[0] for key in map(_file_key, paths) if key not in self._good}
        checked = dict(list(unseen.items())[: self._limit])
        refuse_unreadable(checked.values())
        self._good.update(checked)
        if len(checked) == len(unseen):
            return []
        return [
            JobWarning(
                code="images_not_all_checked",
                message=f"{len(checked)} of {len(unseen)} images were decoded to check them; the rest is checked when "
                "the job is prepared",
            )
        ]

    def refuse_equal(self, parts: Mapping[str, Split], allowed: AllowedLeaks) -> None:
        """Raises PhotoCopied where VLR images of two parts, or of two subjects, have equal pixels. Those that the limit
        leaves out or that cannot be read, near-duplicates and people under two names are left to the job."""
        if allowed.everything:
            return
        images = [PartImage(part, path) for part, split in parts.items() for path in split.vlr_images][: self._limit]
        keys = {image: _file_key(image.path) for image in images}
        with ThreadPoolExecutor(_THREADS) as pool:
            for key, print_ in pool.map(_read_print, {key for key in keys.values() if key not in self._prints}):
                if print_ is not None:
                    self._prints[key] = print_
        copies = exact_copies({image: self._prints[key] for image, key in keys.items() if key in self._prints})
        refuse_copies(sorted(copies, key=str), allowed)


def check_inputs(inputs: Inputs, checks: DatasetChecks, allowed_leaks: Sequence[str] = ()) -> list[JobWarning]:
    """Refuse now what would fail after queueing: names, images, leaks and weights. What remains are warnings.

    Raises DataError or WeightsError.
    """
    edgeface = read_shapes(inputs.edgeface)
    if edgeface is not None:
        recognise_edgeface(edgeface, inputs.edgeface)
    warnings = []
    if inputs.dsr is None:
        warnings.append(BICUBIC_ENLARGEMENT)
    elif (dsr := read_shapes(inputs.dsr)) is not None:
        infer_dsr_layout(dsr, inputs.dsr)
    scan = scan_dataset(inputs.train_dir, inputs.val_dir)
    train_hr = paired_hr(scan.train) if inputs.invented_faces else ()
    images = [*scan.train.vlr_images, *scan.val.vlr_images, *scan.val.hr_images, *train_hr]
    warnings = [*scan.warnings, *warnings, *checks.refuse_unreadable(images)]
    checks.refuse_equal({"train": scan.train, "val": scan.val}, AllowedLeaks(allowed_leaks))
    return warnings


def list_datasets(root: Path) -> list[str]:
    """Names that `dataset` can have: folders with train_processed/ and val_processed/."""
    return sorted(
        folder.parent.relative_to(root).as_posix()
        for folder in root.glob(f"**/{TRAIN_FOLDER}")
        if (folder.parent / VAL_FOLDER).is_dir() and folder.parent != root
    )


def list_weights(root: Path) -> list[str]:
    """Names that `edgeface` and `dsr` can have."""
    return sorted(
        path.relative_to(root).as_posix() for path in root.glob("**/*") if path.suffix in (".pt", ".pth", ".bin")
    )


def _read_print(key: _FileKey) -> tuple[_FileKey, Print | None]:
    try:
        return key, read_print(key[0])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return key, None


def _file_key(path: Path) -> _FileKey:
    try:
        stat = path.stat()
    except OSError:  # a link to nothing, or just removed: decoding it names it
        return path, 0, -1
    return path, stat.st_mtime_ns, stat.st_size


def _inside(field: str, name: str, root: Path) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or Path(name).is_absolute():
        raise OutsideRoots(field, name, root)
    return path


def find_folder(field: str, name: str, root: Path) -> Path:
    """Raises OutsideRoots or DatasetNotFound."""
    path = _inside(field, name, root)
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name too long
        raise DatasetNotFound(field, name, root, list_datasets(root))
    return path


def find_weights(field: str, name: str, settings: Settings, session: Session) -> Path:
    """The file of this name in the weights' folder, or the one that job ID made, where the name is `job:ID`.

    Raises OutsideRoots or WeightsNotFound; of a job what `find_made` raises, and StoredFileMissing.
    """
    if (job_id := job_named(name)) is not None:
        return Artifacts(settings.artifacts_dir).path_of(find_made(session, field, job_id).key)
    root = settings.weights_dir
    path = _inside(field, name, root)
    if not os.path.isfile(path):  # noqa: PTH113 - likewise
        raise WeightsNotFound(field, name, root, list_weights(root))
    return path
