"""Finds the folders and files that the config of a training names."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.inputs.names import find_folder, find_weights, find_weights_if_named
from app.settings import Settings


@dataclass(frozen=True)
class TrainingInputs:
    """Folders and files of a training. `dsr` is None for bicubic enlargement and for a new DSR network."""

    train_dir: Path
    val_dir: Path
    edgeface: Path
    dsr: Path | None


def find_training_inputs(
    config: FinetuneConfig | DsrTrainingConfig, settings: Settings, session: Session
) -> TrainingInputs:
    """Find the inputs. Raises OutsideRoots, DatasetNotFound and the exceptions of `find_weights`, which name the
    config's field."""
    return TrainingInputs(
        train_dir=find_folder("train_dir", config.train_dir or "", settings.datasets_dir),
        val_dir=find_folder("val_dir", config.val_dir or "", settings.datasets_dir),
        edgeface=find_weights("edgeface", "EdgeFace", config.edgeface, settings, session),
        dsr=find_weights_if_named("dsr", "DSR", config.dsr, settings, session),
    )
