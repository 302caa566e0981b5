"""Resolves names of datasets and weights inside the configured roots."""

import os
from pathlib import Path

from sqlmodel import Session

from app.artifacts import Artifacts
from app.finetune.atomic import is_partial
from app.finetune.config import BICUBIC
from app.finetune.dataset import TRAIN_FOLDER, VAL_FOLDER
from app.finetune.job_kinds import Weights
from app.inputs.errors import DatasetNotFound, OutsideRoots, WeightsNotFound
from app.jobs.made_weights import find_made, job_named
from app.settings import Settings


def list_datasets(root: Path) -> list[str]:
    """Return the names for `dataset`: folders with train_processed/ and val_processed/, except those being built."""
    return sorted(
        folder.parent.relative_to(root).as_posix()
        for folder in root.glob(f"**/{TRAIN_FOLDER}")
        if (folder.parent / VAL_FOLDER).is_dir() and folder.parent != root and not is_partial(folder.relative_to(root))
    )


def list_weights(root: Path) -> list[str]:
    """Return the names for `edgeface` and `dsr`."""
    return sorted(
        path.relative_to(root).as_posix() for path in root.glob("**/*") if path.suffix in (".pt", ".pth", ".bin")
    )


def _inside(field: str, name: str, root: Path) -> Path:
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or Path(name).is_absolute():
        raise OutsideRoots(field, name, root)
    return path


def find_folder(field: str, name: str, root: Path) -> Path:
    """Return the folder of a name. Raises OutsideRoots or DatasetNotFound."""
    path = _inside(field, name, root)
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name too long
        raise DatasetNotFound(field, name, root, list_datasets(root))
    return path


def find_weights(field: str, family: Weights, name: str, settings: Settings, session: Session) -> Path:
    """Return the file of this name in the folder of weights, or the one that job ID made if the name is `job:ID`.

    Raises OutsideRoots or WeightsNotFound; for `job:ID` the exceptions of `find_made`, and StoredFileMissing.
    """
    if (job_id := job_named(name)) is not None:
        return Artifacts(settings.artifacts_dir).path_of(find_made(session, field, family, job_id).key)
    root = settings.weights_dir
    path = _inside(field, name, root)
    if not os.path.isfile(path):  # noqa: PTH113 - likewise
        raise WeightsNotFound(field, name, root, list_weights(root))
    return path


def find_weights_if_named(
    field: str, family: Weights, name: str | None, settings: Settings, session: Session
) -> Path | None:
    """Like `find_weights`. None if the field is null or selects bicubic interpolation."""
    return None if name in (None, BICUBIC) else find_weights(field, family, name, settings, session)
