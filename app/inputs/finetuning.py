"""What a config names, found inside the configured roots and checked as far as it can be without a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.finetune.architectures import infer_dsr_layout, recognise_edgeface
from app.finetune.config import BICUBIC, FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import (
    BICUBIC_ENLARGEMENT,
    JobWarning,
    paired_hr,
    scan_dataset,
)
from app.finetune.leaks import AllowedLeaks
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.names import find_folder, find_weights
from app.inputs.weights_file import read_shapes
from app.settings import Settings


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
        invented_faces=config.synthetic_identities * FACES_OF_EACH,
    )


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
