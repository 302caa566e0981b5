"""What the config of a DSR training names, found and checked as a fine-tuning's is: see app/inputs/finetuning.py."""

from sqlmodel import Session

from app.finetune.architectures import infer_dsr_layout, recognise_edgeface
from app.finetune.dataset import JobWarning, comparable, scan_hr
from app.finetune.dsr_config import LARGEST_OUTPUT, DsrTrainingConfig
from app.finetune.errors import NothingToCompare
from app.finetune.leaks import AllowedLeaks
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.errors import DsrTooLarge
from app.inputs.finetuning import Inputs
from app.inputs.names import find_folder, find_weights
from app.inputs.weights_file import read_shapes
from app.settings import Settings


def find_dsr_inputs(config: DsrTrainingConfig, settings: Settings, session: Session) -> Inputs:
    """`dsr` is None for a new network. Raises OutsideRoots, DatasetNotFound or what `find_weights` raises, each naming
    the config's field."""
    return Inputs(
        train_dir=find_folder("train_dir", config.train_dir or "", settings.datasets_dir),
        val_dir=find_folder("val_dir", config.val_dir or "", settings.datasets_dir),
        edgeface=find_weights("edgeface", config.edgeface, settings, session),
        dsr=None if config.dsr is None else find_weights("dsr", config.dsr, settings, session),
    )


def check_dsr_inputs(config: DsrTrainingConfig, inputs: Inputs, checks: DatasetChecks) -> list[JobWarning]:
    """Raises DataError or WeightsError for what would fail after queueing. What remains are warnings."""
    if (shapes := read_shapes(inputs.edgeface)) is not None:
        recognise_edgeface(shapes, inputs.edgeface)
    if inputs.dsr is not None and (shapes := read_shapes(inputs.dsr)) is not None:
        layout = infer_dsr_layout(shapes, inputs.dsr)
        if (largest := max(config.vlr_sizes) * layout.enlargement) > LARGEST_OUTPUT:
            raise DsrTooLarge(max(config.vlr_sizes), largest, LARGEST_OUTPUT)
    train, val = scan_hr(inputs.train_dir), scan_hr(inputs.val_dir)
    if not comparable(val):
        raise NothingToCompare(inputs.val_dir)
    warnings = checks.refuse_unreadable([*train.hr_images, *val.hr_images])
    checks.refuse_equal({"train": train, "val": val}, AllowedLeaks(config.allowed_leaks))
    return warnings
