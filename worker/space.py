"""Disk space: what a job needs, whether it is there, and a reservation that makes sure of the next write."""

import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

from humanize import naturalsize

from app.finetune.config import FACE_SIZE, FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import scan_dataset, scan_hr
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.dataset_listing import list_parts
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.edgeface_shapes import EMBEDDING_SIZE
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.model_export_config import ModelExportConfig
from app.finetune.subject_patterns import GUIDE, SubjectPattern
from app.finetune.training_errors import DiskFull
from app.inputs.dataset_check import DatasetCheckInputs
from app.inputs.dataset_import import DatasetImportInputs
from app.inputs.evaluation import EvaluationInputs
from app.inputs.model_export import ModelExportInputs
from app.inputs.training_inputs import TrainingInputs
from app.settings import Settings

MARGIN_BYTES = 64 * 2**20
"""Left for the database and the logs."""

_FLOAT_BYTES = 4
_FACE_BYTES = 3 * FACE_SIZE**2
_IMAGE_BYTES = 2 * _FACE_BYTES + 10 * 2**10  # prepared, decoded meanwhile (at most a face), and its look
_SETS = 4  # two states kept, one being written, and as much again for checkpoints that are superseded


@dataclass(frozen=True)
class SpaceNeeded:
    """Disk space in bytes. `save`: the most that the end of an epoch writes, a state (weights and the two moments of
    the optimizer) and a checkpoint. `faces`: the faces that are not prepared yet, and the images that they are made
    from meanwhile."""

    save: int
    faces: int


def space_for_evaluation(_: EvaluationConfig, __: EvaluationInputs, ___: bool) -> SpaceNeeded:
    """A report with all its pictures has one or two megabytes."""
    return SpaceNeeded(save=8 * 2**20, faces=0)


def space_for_dry_run(config: FinetuneConfig, inputs: TrainingInputs, _: bool) -> SpaceNeeded:
    """It prepares a few faces and keeps none. Raises DataError where the dataset is no longer valid."""
    return space_for_finetuning(config, inputs, True)


def space_for_finetuning(config: FinetuneConfig, inputs: TrainingInputs, faces_are_prepared: bool) -> SpaceNeeded:
    """Raises DataError where the dataset is no longer valid."""
    scan = scan_dataset(inputs.train_dir, inputs.val_dir, inputs.train_reading.pattern, inputs.val_reading.pattern)
    kinds = [scan.train.vlr_images, scan.val.vlr_images, scan.val.hr_images]
    kinds += [scan.train.hr_images] if config.needs_train_hr else []
    images, synthetic = sum(map(len, kinds)), config.synthetic_identities * FACES_OF_EACH
    backbone = inputs.edgeface.stat().st_size
    head = len(scan.subject_to_id) * EMBEDDING_SIZE * _FLOAT_BYTES
    faces = 0 if faces_are_prepared else images * _IMAGE_BYTES + synthetic * _FACE_BYTES
    return SpaceNeeded(save=3 * (backbone + head) + (2 * backbone + head), faces=faces)


def space_for_dataset_check(config: DatasetCheckConfig, inputs: DatasetCheckInputs, __: bool) -> SpaceNeeded:
    """It prepares the HR faces, and keeps a line for each image."""
    pattern = GUIDE if config.subject_pattern is None else SubjectPattern(config.subject_pattern)
    parts = list_parts(inputs.folder, pattern).values()
    images = sum(len(part.split.images) for part in parts if part.split is not None)
    return SpaceNeeded(save=2**20 + images * 2**10, faces=images * _IMAGE_BYTES)


def space_for_dataset_import(_: DatasetImportConfig, __: DatasetImportInputs, ___: bool) -> SpaceNeeded:
    """It writes into the folder of uploads, and leaves its own share of that disk free."""
    return SpaceNeeded(save=2**20, faces=0)


def space_for_model_export(_: ModelExportConfig, inputs: ModelExportInputs, __: bool) -> SpaceNeeded:
    """The file has the size of the weights."""
    return SpaceNeeded(save=2 * inputs.edgeface.stat().st_size, faces=0)


def space_for_dsr_training(config: DsrTrainingConfig, inputs: TrainingInputs, faces_are_prepared: bool) -> SpaceNeeded:
    """Raises DataError where the dataset is no longer valid."""
    parts = (inputs.train_dir, inputs.train_reading), (inputs.val_dir, inputs.val_reading)
    images = sum(len(scan_hr(directory, reading.pattern).hr_images) for directory, reading in parts)
    parameters = sum(prod(shape) for shape in config.layout.shapes().values()) * _FLOAT_BYTES
    network = parameters if inputs.dsr is None else inputs.dsr.stat().st_size
    return SpaceNeeded(save=(3 + 1) * network, faces=0 if faces_are_prepared else images * _IMAGE_BYTES)


def shortage(needed: SpaceNeeded, settings: Settings) -> str | None:
    """Return the reason why a job lacks disk space, None if there is enough.

    The text does not change with each byte that is written, so that it makes one event.
    """
    bytes_in = {settings.artifacts_dir: _SETS * needed.save, settings.prepared_dir: needed.faces}
    on_device: defaultdict[int, list[Path]] = defaultdict(list)
    for folder, size in bytes_in.items():
        if size:
            on_device[folder.stat().st_dev].append(folder)
    for folders in on_device.values():
        wanted = sum(bytes_in[folder] for folder in folders) + MARGIN_BYTES
        if shutil.disk_usage(folders[0]).free < wanted:
            wanted_size, places = naturalsize(wanted, format="%.0f"), " and ".join(map(str, folders))
            return f"disk space: the job needs {wanted_size} free in {places}"
    return None


def make_directory(path: Path) -> None:
    """Raises DiskFull."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _as_disk_full(error, path) from None


def remove_if_empty(path: Path) -> None:
    """Remove the folder of an attempt without files. The folder of its job stays: the next attempt may be adding its
    own at this moment. The cleaner removes it under the job's lock (app/leftovers.py)."""
    with suppress(OSError):
        path.rmdir()


@contextmanager
def reserved(path: Path, size: int) -> Iterator[None]:
    """Hold `size` bytes of the disk at `path` meanwhile; whoever needs them deletes the file. Raises DiskFull."""
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, size))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _as_disk_full(error, path) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _as_disk_full(error: OSError, path: Path) -> Exception:
    return DiskFull(path) if error.errno in (errno.ENOSPC, errno.EDQUOT) else error
