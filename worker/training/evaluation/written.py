"""Writes an evaluation to files."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from app.finetune.artifact_names import EVALUATION_NAME, REPORT_NAME
from app.finetune.errors import printable
from app.finetune.events import EpochFinished, EvaluationWritten, WrittenFile
from worker.training.evaluation.evaluate_backbone import Evaluated
from worker.training.evaluation.report import render_report
from worker.training.runtime.control import Control
from worker.training.storage.atomic import write_bytes_whole


def write_evaluation(
    evaluated: Evaluated, folder: Path, control: Control, epochs: Sequence[EpochFinished] = ()
) -> EvaluationWritten:
    """Write `evaluation.json` and `report.html`, which shows the curves of the training's `epochs`. Raises DiskFull."""
    evaluation = evaluated.evaluation
    json = _write(folder / EVALUATION_NAME, evaluation.model_dump_json(indent=2), control)
    report = _write(folder / REPORT_NAME, render_report(evaluation, evaluated.faces, epochs), control)
    return EvaluationWritten(evaluation, json, report)


def _write(path: Path, text: str, control: Control) -> WrittenFile:
    content = control.shown(printable(text)).encode()
    write_bytes_whole(path, content, control)
    return WrittenFile(path, len(content), sha256(content).hexdigest())
