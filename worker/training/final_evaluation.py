"""After a training: its best checkpoint and the weights it began with, evaluated on val, and the report written."""

from collections.abc import Sequence

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.errors import DataError
from app.finetune.evaluation_config import EvaluationConfig
from worker.training.control import Control
from worker.training.evaluation.evaluate_backbone import evaluate_backbone
from worker.training.evaluation.written import write_evaluation
from worker.training.events import CheckpointWritten, EpochFinished, EvaluationWritten
from worker.training.files import EvaluationFiles, TrainingFiles
from worker.training.progress import Progress


def evaluate_training(
    config: FinetuneConfig,
    files: TrainingFiles,
    best: CheckpointWritten,
    epochs: Sequence[EpochFinished],
    work: float,
    progress: Progress,
    control: Control,
) -> EvaluationWritten | JobWarning:
    """`work` in forward passes. A warning where val cannot be evaluated: what was trained is no worse for that.

    Raises DiskFull, OutOfMemory and StopRequested.
    """
    evaluation = EvaluationConfig(
        eval_dir=config.val_dir,
        edgeface=str(best.full.path.name),
        before=config.edgeface,
        dsr=config.dsr,
        vlr_size=config.vlr_size,
        device=config.device,
        num_workers=config.num_workers,
    )
    done = 0.0

    def advance(share: float) -> None:
        nonlocal done
        progress.advance((share - done) * work)
        done = share

    try:
        evaluated = evaluate_backbone(
            evaluation,
            EvaluationFiles(files.val_dir, best.full.path, before=files.edgeface, dsr=files.dsr),
            control,
            advance,
        )
    except (DataError, FileNotFoundError) as error:
        return JobWarning(code="not_evaluated", message=f"val was not evaluated after the training: {error}")
    return write_evaluation(evaluated, files.output_dir, control, epochs)
