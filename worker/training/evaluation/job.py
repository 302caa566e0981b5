"""An evaluation as a job: reports events and writes the result files."""

from functools import partial

from app.finetune.dataset import scan_split
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import EvaluationStarted, EvaluationWritten, Report, Stopped, Warned
from worker.training.evaluation.evaluate_backbone import Evaluated, evaluate_backbone
from worker.training.evaluation.written import write_evaluation
from worker.training.runtime.control import Control
from worker.training.runtime.device import choose_device, describe_device, device_warnings
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.phase_plan import EVALUATION_WORK, Pace, plan_evaluation
from worker.training.runtime.progress import Progress, at_work
from worker.training.storage.paths import EvaluationFiles, EvaluationJobFiles


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
    progress = Progress(report)
    evaluated = evaluate_in_phases(config, files, report, control, progress)
    progress.start("writing")
    written = write_evaluation(evaluated, files.output_dir, control)
    progress.finish()
    return written


def evaluate_in_phases(
    config: EvaluationConfig, files: EvaluationFiles, report: Report, control: Control, progress: Progress
) -> Evaluated:
    """Evaluate, and report the progress. Raises the errors of `evaluate_backbone`."""
    progress.start("checking")
    control = at_work(control, progress)
    device = choose_device(config.device, control.gpu)
    split = scan_split(files.eval_dir)
    backbones = 1 if files.before is None else 2
    pace = Pace.of(device.type)
    progress.plan(plan_evaluation(len(split.vlr_images), len(split.hr_images), backbones, pace))
    report(EvaluationStarted(describe_device(device)))
    for warning in device_warnings(config.device):
        report(Warned(warning))
    progress.start("evaluating")
    return evaluate_backbone(config, files, control, progress.shares(EVALUATION_WORK))
