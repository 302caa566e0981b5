"""What an evaluation's config names, found and checked as a training's is: see app/inputs/finetuning.py."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.finetune.architectures import infer_dsr_layout, recognise_edgeface
from app.finetune.config import BICUBIC
from app.finetune.dataset import JobWarning, comparable, scan_split, split_warnings
from app.finetune.errors import NothingToCompare
from app.finetune.evaluation_config import EvaluationConfig
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.names import find_folder, find_weights
from app.inputs.weights_file import read_shapes
from app.settings import Settings


@dataclass(frozen=True)
class EvaluationInputs:
    """`before` is None without weights to compare with, `dsr` for interpolation alone."""

    eval_dir: Path
    edgeface: Path
    before: Path | None
    dsr: Path | None


def find_evaluation_inputs(config: EvaluationConfig, settings: Settings, session: Session) -> EvaluationInputs:
    """Raises OutsideRoots, DatasetNotFound or what `find_weights` raises, each naming the config's field."""
    config = config.in_root(settings.datasets_dir)
    return EvaluationInputs(
        eval_dir=find_folder("eval_dir", config.eval_dir or "", settings.datasets_dir),
        edgeface=find_weights("edgeface", config.edgeface, settings, session),
        before=None if config.before is None else find_weights("before", config.before, settings, session),
        dsr=None if config.dsr == BICUBIC else find_weights("dsr", config.dsr, settings, session),
    )


def check_evaluation_inputs(inputs: EvaluationInputs, checks: DatasetChecks) -> list[JobWarning]:
    """Raises DataError or WeightsError for what would fail after queueing. What remains are warnings."""
    for weights in (inputs.edgeface, inputs.before):
        if weights is not None and (shapes := read_shapes(weights)) is not None:
            recognise_edgeface(shapes, weights)
    if inputs.dsr is not None and (shapes := read_shapes(inputs.dsr)) is not None:
        infer_dsr_layout(shapes, inputs.dsr)
    split = scan_split(inputs.eval_dir)
    if not comparable(split):
        raise NothingToCompare(inputs.eval_dir)
    images = [*split.vlr_images, *split.hr_images]
    return [*split_warnings(split, "evaluation"), *checks.refuse_unreadable(images)]
