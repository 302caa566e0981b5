"""Finds and checks the inputs of an evaluation."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.dataset_roots import dataset_roots
from app.datasets.records import DatasetRecords
from app.finetune.dataset import check_comparable, scan_split
from app.finetune.dataset_warnings import summary_warnings
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.part_reading import AS_BUILT, PartReading
from app.finetune.summarize import summarize
from app.inputs.dataset_checks import BOTH_FOLDERS, CheckedInputs, refuse_known
from app.inputs.names import find_dataset_folder, find_weights, find_weights_if_named
from app.inputs.weights_file import check_edgeface, check_enlarging
from app.settings import Settings


@dataclass(frozen=True)
class EvaluationInputs:
    """Folder and files of an evaluation. `before` is None without weights to compare with, `dsr` for interpolation."""

    eval_dir: Path
    edgeface: Path
    before: Path | None
    dsr: Path | None
    eval_reading: PartReading = AS_BUILT


def find_evaluation_inputs(config: EvaluationConfig, settings: Settings, session: Session) -> EvaluationInputs:
    """Find the inputs. Raises OutsideRoots, DatasetNotFound and the exceptions of `find_weights`, which name the
    config's field."""
    config = config.in_root(dataset_roots(settings).of_name(config.dataset or ""))
    return EvaluationInputs(
        eval_dir=find_dataset_folder("eval_dir", config.eval_dir or "", settings, session),
        edgeface=find_weights("edgeface", "EdgeFace", config.edgeface, settings, session),
        before=find_weights_if_named("before", "EdgeFace", config.before, settings, session),
        dsr=find_weights_if_named("dsr", "DSR", config.dsr, settings, session),
    )


def check_evaluation(config: EvaluationConfig, inputs: EvaluationInputs, records: DatasetRecords) -> CheckedInputs:
    """Refuse what would fail after queueing, as far as file names, weights and earlier checks of the images tell.

    Raises DataError or WeightsError.
    """
    of_weights = check_edgeface(inputs.edgeface)
    if inputs.before is not None:
        of_weights += check_edgeface(inputs.before)
    if inputs.dsr is not None:
        of_weights += check_enlarging(inputs.dsr, config.vlr_size)
    (part,) = records.read(eval_dir=inputs.eval_dir)
    summary = part.summary
    if summary is None or not summary.comparable:
        split = scan_split(part.directory, part.pattern, roots=part.roots)
        check_comparable(split)
        summary = summarize(split)
    found = refuse_known({"evaluation": part}, read={"evaluation": BOTH_FOLDERS})
    return CheckedInputs([*of_weights, *summary_warnings(summary, "evaluation"), *found], [part.for_job()])
