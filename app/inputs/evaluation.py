"""Finds and checks the inputs of an evaluation."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.finetune.dataset import JobWarning, comparable, scan_split, split_warnings
from app.finetune.errors import NothingToCompare
from app.finetune.evaluation_config import EvaluationConfig
from app.inputs.dataset_checks import DatasetChecks
from app.inputs.names import find_folder, find_weights, find_weights_if_named
from app.inputs.weights_file import check_dsr, check_edgeface
from app.settings import Settings


@dataclass(frozen=True)
class EvaluationInputs:
    """Folder and files of an evaluation. `before` is None without weights to compare with, `dsr` for interpolation."""

    eval_dir: Path
    edgeface: Path
    before: Path | None
    dsr: Path | None


def find_evaluation_inputs(config: EvaluationConfig, settings: Settings, session: Session) -> EvaluationInputs:
    """Find the inputs. Raises OutsideRoots, DatasetNotFound and the exceptions of `find_weights`, which name the
    config's field."""
    config = config.in_root(settings.datasets_dir)
    return EvaluationInputs(
        eval_dir=find_folder("eval_dir", config.eval_dir or "", settings.datasets_dir),
        edgeface=find_weights("edgeface", "EdgeFace", config.edgeface, settings, session),
        before=find_weights_if_named("before", "EdgeFace", config.before, settings, session),
        dsr=find_weights_if_named("dsr", "DSR", config.dsr, settings, session),
    )


def check_evaluation(_: EvaluationConfig, inputs: EvaluationInputs, checks: DatasetChecks) -> list[JobWarning]:
    """Refuse what would fail after queueing. Return the warnings.

    Raises DataError or WeightsError.
    """
    check_edgeface(inputs.edgeface)
    if inputs.before is not None:
        check_edgeface(inputs.before)
    if inputs.dsr is not None:
        check_dsr(inputs.dsr)
    split = scan_split(inputs.eval_dir)
    if not comparable(split):
        raise NothingToCompare(inputs.eval_dir)
    images = [*split.vlr_images, *split.hr_images]
    return [*split_warnings(split, "evaluation"), *checks.refuse_unreadable(images)]
