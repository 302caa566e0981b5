"""Evaluation after a training: compares the best checkpoint with the initial weights on val and writes the report."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.errors import EdgefaceError, printable
from app.finetune.evaluation import Backbone, Comparison, Images
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import Checkpoint, EpochFinished, EvaluationWritten
from app.finetune.part_reading import PartReading
from app.finetune.training_errors import DiskFull
from worker.training.checks.collapse import collapse_warning
from worker.training.evaluation.evaluate_backbone import Evaluated, evaluate_backbone
from worker.training.evaluation.origin import described
from worker.training.evaluation.systems import KnownFaces
from worker.training.evaluation.written import write_evaluation
from worker.training.metrics import FaceSet, Separation
from worker.training.runtime.control import Control, StopRequested
from worker.training.runtime.progress import Progress
from worker.training.storage.paths import EvaluationFiles, TrainingFiles
from worker.training.validation.validate import ValEmbeddings

_log = logging.getLogger(__name__)


def evaluate_training(
    config: FinetuneConfig,
    files: TrainingFiles,
    best: Checkpoint,
    epochs: Sequence[EpochFinished],
    warnings: Sequence[JobWarning],
    work: float,
    progress: Progress,
    control: Control,
    before: ValEmbeddings | None,
    after: ValEmbeddings,
) -> EvaluationWritten | JobWarning:
    """Write the evaluation and return its files, or a warning if it failed, since the trained weights stay valid.

    The report includes `warnings`. `work` is in forward passes. `before` and `after` are val's embeddings by both
    backbones, if known. Raises only DiskFull and StopRequested, after which the job resumes from its last state.
    """
    try:
        evaluated = evaluate_backbone(
            _config_of(config, best),
            EvaluationFiles(
                files.val_dir,
                best.full.path,
                before=files.edgeface,
                dsr=files.dsr,
                job=files.job,
                eval_reading=PartReading(files.val_reading.pattern),
                copies=None if files.copies is None else {**files.copies, best.full.path: None},
            ),
            control,
            progress.shares(work),
            _known(config, {"before": before, "after": after}),
        )
        progress.start("writing")
        return write_evaluation(_with(config, warnings, evaluated), files.output_dir, control, epochs)
    except (DiskFull, StopRequested):
        raise
    except Exception as error:
        if not isinstance(error, EdgefaceError):
            _log.exception("the evaluation after the training failed")
        return JobWarning(code="not_evaluated", message=f"val was not evaluated after the training: {_in_words(error)}")


def _config_of(config: FinetuneConfig, best: Checkpoint) -> EvaluationConfig:
    return EvaluationConfig(
        eval_dir=config.val_dir,
        edgeface=str(best.full.path.name),
        before=config.edgeface,
        dsr=config.dsr,
        vlr_size=config.vlr_size,
        device=config.device,
        num_workers=config.num_workers,
    )


def _known(config: FinetuneConfig, embeddings: dict[Backbone, ValEmbeddings | None]) -> KnownFaces:
    used: Images = "bicubic" if config.dsr == BICUBIC else "dsr"
    known: dict[tuple[Backbone, Images], FaceSet] = {}
    for backbone, of in embeddings.items():
        if of is not None:
            known |= {(backbone, used): of.probes, (backbone, "hr"): of.gallery}
    return known


def _in_words(error: Exception) -> str:
    """Describe the error on one line. The message of a MemoryError is empty."""
    if isinstance(error, EdgefaceError):
        return error.message
    return " ".join(printable(f"{type(error).__name__}: {error}").split()).removesuffix(":")


def _with(config: FinetuneConfig, warnings: Sequence[JobWarning], evaluated: Evaluated) -> Evaluated:
    """Add the config and the warnings of the training, and the warning of collapse if the evaluation's scores show
    it."""
    evaluation = evaluated.evaluation
    in_use = [each for each in evaluation.comparisons if each.gallery == "hr" and each.probes == evaluation.in_use]
    collapses = collapse_warning(*(_separation(each) for each in in_use))
    reported = [*evaluation.warnings, *warnings, *([] if collapses is None else [collapses])]
    origin = evaluation.origin and evaluation.origin.model_copy(update=described(config))
    return replace(evaluated, evaluation=evaluation.model_copy(update={"warnings": reported, "origin": origin}))


def _separation(comparison: Comparison) -> Separation | None:
    found = comparison.verification
    if found.genuine_mean is None or found.impostor_mean is None:
        return None
    return Separation(found.genuine_mean, found.impostor_mean, found.d_prime)
