"""An evaluation as a job: reports events and writes the result files."""

from functools import partial

from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import EvaluationStarted, EvaluationWritten, Progressed, Report, Stopped
from worker.training.evaluation.evaluate_backbone import evaluate_backbone
from worker.training.evaluation.written import write_evaluation
from worker.training.runtime.control import Control
from worker.training.runtime.device import choose_device, describe_device
from worker.training.runtime.outcome import report_outcome
from worker.training.storage.paths import EvaluationJobFiles


def run_evaluation(
    config: EvaluationConfig, files: EvaluationJobFiles, report: Report, control: Control | None = None
) -> EvaluationWritten | Stopped:
    """Run the evaluation of `config` on `files`, write the results into `output_dir` and report every event.

    Returns the last event: EvaluationWritten, or Stopped if `control` was stopped, which leaves no state to resume
    from. Raises EdgefaceError.
    """
    return report_outcome(partial(_evaluate, config, files, report, control or Control()), report)


def _evaluate(
    config: EvaluationConfig, files: EvaluationJobFiles, report: Report, control: Control
) -> EvaluationWritten:
    report(EvaluationStarted(describe_device(choose_device(config.device, control.slot))))
    evaluated = evaluate_backbone(config, files, control, lambda share: report(Progressed(share, None, None, None)))
    return write_evaluation(evaluated, files.output_dir, control)
