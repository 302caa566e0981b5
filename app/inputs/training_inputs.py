"""Finds the folders and files that the config of a training names."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.leaks import AllowedLeaks
from app.finetune.part_reading import AS_BUILT, PartReading
from app.inputs.errors import TrainIsVal
from app.inputs.names import find_dataset_folder, find_weights, find_weights_if_named
from app.settings import Settings


@dataclass(frozen=True)
class TrainingInputs:
    """Folders and files of a training. `dsr` is None for bicubic enlargement and for a new DSR network."""

    train_dir: Path
    val_dir: Path
    edgeface: Path
    dsr: Path | None
    train_reading: PartReading = AS_BUILT
    val_reading: PartReading = AS_BUILT


def find_training_inputs(
    config: FinetuneConfig | DsrTrainingConfig, settings: Settings, session: Session
) -> TrainingInputs:
    """Find the inputs. Raises OutsideRoots, DatasetNotFound and the exceptions of `find_weights`, which name the
    config's field."""
    return TrainingInputs(
        train_dir=find_dataset_folder("train_dir", config.train_dir or "", settings, session),
        val_dir=find_dataset_folder("val_dir", config.val_dir or "", settings, session),
        edgeface=find_weights("edgeface", "EdgeFace", config.edgeface, settings, session),
        dsr=find_weights_if_named("dsr", "DSR", config.dsr, settings, session),
    )


def refuse_train_as_val(config: FinetuneConfig | DsrTrainingConfig, inputs: TrainingInputs) -> None:
    """Raise TrainIsVal where both are one folder: each photo would be in both, which the job refuses unless its config
    allows every leak."""
    same = inputs.train_dir.resolve() == inputs.val_dir.resolve()
    if same and not AllowedLeaks(config.allowed_leaks).everything:
        raise TrainIsVal(config.train_dir or "", config.val_dir or "")
