"""Finds and checks the inputs of the check of a dataset."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.dataset_roots import dataset_roots
from app.datasets.manifests import FOLDER
from app.datasets.records import DatasetRecords, find_by_name, place_of
from app.finetune.config import FinetuneConfig
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_findings import DatasetFindings
from app.finetune.weights_errors import WeightsError
from app.inputs.dataset_checks import CheckedInputs
from app.inputs.names import find_dataset_folder, find_weights
from app.inputs.weights_file import check_edgeface
from app.settings import Settings

_DEFAULT: str = FinetuneConfig.model_fields["edgeface"].default


@dataclass(frozen=True)
class DatasetCheckInputs:
    """`edgeface` is None where no weights judge the subjects' names. `keep_dir` is the folder of the artifacts that
    keeps manifests and sheets. `known` are the findings that the record has of the images with the digest
    `known_manifest`, whose subjects `known_pattern` found."""

    folder: Path
    edgeface: Path | None
    keep_dir: Path
    known: DatasetFindings | None = None
    known_manifest: str | None = None
    known_pattern: str | None = None


def find_dataset_check_inputs(config: DatasetCheckConfig, settings: Settings, session: Session) -> DatasetCheckInputs:
    """Find the inputs. Raises OutsideRoots, DatasetNotFound and the exceptions of `find_weights`."""
    folder = find_dataset_folder("dataset", config.dataset, settings, session)
    record = find_by_name(session, place_of(folder, dataset_roots(settings).of_path(folder))[0])
    return DatasetCheckInputs(
        folder=folder,
        edgeface=_find_edgeface(config.edgeface, settings, session),
        keep_dir=settings.artifacts_dir / FOLDER,
        known=None if record is None else record.findings,
        known_manifest=None if record is None else record.manifest,
        known_pattern=None if record is None else record.subject_pattern,
    )


def check_dataset_check(_: DatasetCheckConfig, inputs: DatasetCheckInputs, __: DatasetRecords) -> CheckedInputs:
    """Raises WeightsError."""
    return CheckedInputs([] if inputs.edgeface is None else check_edgeface(inputs.edgeface))


def _find_edgeface(name: str | None, settings: Settings, session: Session) -> Path | None:
    if name is not None:
        return find_weights("edgeface", "EdgeFace", name, settings, session)
    default = settings.weights_dir / _DEFAULT
    if not default.is_file():
        return None
    try:
        check_edgeface(default)
    except WeightsError:  # nobody asked for them
        return None
    return default
