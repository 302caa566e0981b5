"""Resolves names of datasets and weights inside the configured roots, and `job:ID`."""

import stat
from pathlib import Path

from sqlmodel import Session

from app.artifacts import Artifacts
from app.dataset_roots import dataset_roots, weights_roots
from app.datasets.records import is_hidden, place_of, shown_names
from app.finetune.config import BICUBIC
from app.finetune.dataset import HR_FOLDER, PART_FOLDERS, TRAIN_FOLDER, VAL_FOLDER, VLR_FOLDER
from app.finetune.dataset_folders import similar_folder
from app.finetune.errors import printable
from app.finetune.interruption import until_interrupted
from app.finetune.state_dicts import Weights
from app.inputs.errors import DatasetNotFound, WeightsNotFound
from app.inputs.uploaded_weights import find_all_uploaded
from app.inputs.weights_names import find_weights_file, inside, list_weights, mode_of, walk
from app.jobs.made_weights import find_made, job_named
from app.settings import Settings

_OF_IMAGES = frozenset({*PART_FOLDERS.values(), VLR_FOLDER, HR_FOLDER})


def list_datasets(root: Path) -> list[str]:
    """Return the names for `dataset`: folders with train_processed/ and val_processed/, except hidden ones and those
    being built. Follows no link and lists no folder of images of a dataset. Raises RootUnreadable."""
    names = []
    for folder, subfolders, _ in until_interrupted(walk(root)):
        if folder != str(root) and {TRAIN_FOLDER, VAL_FOLDER} <= set(subfolders):
            names.append(printable(Path(folder).relative_to(root).as_posix()))
        subfolders[:] = [name for name in subfolders if name not in _OF_IMAGES and not name.startswith(".")]
    return sorted(names)


def find_folder(field: str, name: str, root: Path, session: Session | None = None) -> Path:
    """Return the folder of a name. One that is hidden from the session's caller is not found.

    Raises OutsideRoots, InputUnreadable, RootUnreadable or DatasetNotFound.
    """
    path = inside(field, name, root)
    if not stat.S_ISDIR(mode_of(field, name, path, root)):
        raise DatasetNotFound(field, name, root, _available(root, session), similar_folder(path))
    if session is not None and is_hidden(session, place_of(path, root)[0]):
        raise DatasetNotFound(field, name, root, _available(root, session))
    return path


def _available(root: Path, session: Session | None) -> list[str]:
    names = list_datasets(root)
    return names if session is None else shown_names(session, names)


def find_dataset_folder(field: str, name: str, settings: Settings, session: Session) -> Path:
    """As `find_folder`, in the roots of the service."""
    return find_folder(field, name, dataset_roots(settings).of_name(name), session)


def find_weights(field: str, family: Weights, name: str, settings: Settings, session: Session) -> Path:
    """Return the file of this name in the folder of weights, or the one that job ID made if the name is `job:ID`.

    Raises OutsideRoots or WeightsNotFound; for `job:ID` the exceptions of `find_made`, and StoredFileMissing.
    """
    if (job_id := job_named(name)) is not None:
        return Artifacts(settings.artifacts_dir).path_of(find_made(session, field, family, job_id).key)
    roots = weights_roots(settings)
    root = roots.of_name(name)
    if root == roots.own:
        try:
            return find_weights_file(field, name, root)
        except WeightsNotFound:
            raise WeightsNotFound(field, name, [roots.own], list_all_weights(settings, session)) from None
    path = find_weights_file(field, name, root)
    # A file without a row is a leftover of a killed process.
    if path.relative_to(root.resolve()).as_posix() not in {each.name for each in find_all_uploaded(session)}:
        raise WeightsNotFound(field, name, [roots.own], list_all_weights(settings, session))
    return path


def list_all_weights(settings: Settings, session: Session) -> list[str]:
    """Return the names of the files in the folder of weights, and of the uploaded ones that the session's caller may
    see. Raises RootUnreadable."""
    return sorted({*list_weights(weights_roots(settings).own), *(each.name for each in find_all_uploaded(session))})


def find_weights_if_named(
    field: str, family: Weights, name: str | None, settings: Settings, session: Session
) -> Path | None:
    """Like `find_weights`. None if the field is null or selects bicubic interpolation."""
    return None if name in (None, BICUBIC) else find_weights(field, family, name, settings, session)
