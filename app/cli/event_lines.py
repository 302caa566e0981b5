"""The lines for the events of a job or a training, for `train`, `watch`, `submit --watch` and `demo`."""

from humanize import naturalsize

from app.api_models.attempts import ResumeReceipt
from app.api_models.durations import PredictedView
from app.api_models.events import StatusChanged, WaitingNoted
from app.api_models.job_status import JobStatus
from app.cli.durations import actual_line, predicted_line
from app.finetune.checkpoint import Checkpoint
from app.finetune.counted import counted
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.evaluation import IMPOSTOR_PAIRS_NEEDED, NO_PAIRS, TOO_FEW_PAIRS
from app.finetune.events import (
    BatchSplit,
    DatasetCheckStarted,
    DatasetImportStarted,
    DurationPredicted,
    EnlargementMeasured,
    EvaluationStarted,
    EvaluationWritten,
    Finished,
    ModelExported,
    ModelExportStarted,
    Phase,
    PhaseStarted,
    Prepared,
    Recognition,
    RecognitionMeasured,
    RolledBack,
    StageStarted,
    StepChosen,
    StepsSkipped,
    StepWay,
    Stopped,
    StoppedEarly,
    Warned,
)
from app.finetune.job_warning import JobWarning

_PHASES: dict[Phase, str | None] = {
    "starting": "starting: loading PyTorch",
    "unpacking": "unpacking: reading the upload",
    "building": "building: writing the images of the dataset",
    "checking": "checking: reading weights and images",
    "preparing": "preparing: enlarging the faces",
    "judging": "judging: alignment and names of the HR faces",
    "measuring": "measuring: recognition before the training",
    "comparing": "comparing: looking for people under two names",
    "teacher_targets": "teacher targets: the frozen EdgeFace embeds HR faces",
    "stage_0": None,
    "stage_1": None,
    "stage_2": None,
    "trying": "trying: some steps of each stage",
    "evaluating": "evaluating: recognition by every protocol",
    "writing": "writing: the report",
}
"""The line of a phase; a stage has the line of `StageStarted`."""
_ENLARGEMENTS = {"direct": "direct feed", "bicubic": "bicubic enlargement", "dsr": "this DSR"}
_SELECTIONS = {
    "val_accuracy": "val accuracy chooses the best epoch",
    "verification_auc": "verification AUC chooses the best epoch",
    "last_epoch": "the last epoch is kept",
}
_MEASURES = {"val_accuracy": "val accuracy", "verification_auc": "verification AUC"}
_ACCURACIES: dict[str | None, str] = {
    "arcface": "\n  train accuracy: augmented faces whose nearest subject is their own, without the margin",
    "distillation": "\n  train accuracy: augmented faces whose nearest prototype is that of their own identity",
}
_TRAIN_METRICS = {
    "loss": ("train_loss", ".4f"),
    "accuracy": ("train_accuracy", ".4f"),
    "pixel": ("train_pixel_loss", ".4f"),
    "perceptual": ("train_perceptual_loss", ".4f"),
    "identity": ("train_identity_loss", ".4f"),
}
_VAL_METRICS = {
    "loss": ("val_loss", ".4f"),
    "accuracy": ("val_accuracy", ".4f"),
    "AUC": ("val_auc", ".4f"),
    "d'": ("val_d_prime", ".2f"),
    "PSNR": ("val_psnr", ".2f"),
    "SSIM": ("val_ssim", ".4f"),
    "identity": ("val_identity", ".4f"),
}
"""The metrics of an epoch by their labels: field of `EpochMetrics` and format."""


_WAYS: dict[StepWay, str] = {
    "eager": "steps without CUDA graphs",
    "graph": "steps by CUDA graphs",
}


def event_line(event: object) -> str | None:
    """Return the lines for a `TrainingEvent` or for the `data` of an `EventView`.

    Return None for progress, saved states, results of dry runs and events of other versions.
    """
    match event:
        case StatusChanged():
            return _status_line(event)
        case Warned(JobWarning() as warning) | (JobWarning() as warning):
            return f"warning: {warning.message} ({warning.code})"
        case Prepared():
            return _prepared_lines(event)
        case DatasetCheckStarted(images):
            return f"reading {counted(images, 'image')}"
        case DatasetImportStarted(upload_bytes):
            return f"reading an upload of {naturalsize(upload_bytes)}"
        case EvaluationStarted(device):
            return f"evaluating on {device}"
        case ModelExportStarted():
            return f"exporting {event.variant}"
        case ModelExported():
            return f"ONNX file written: {counted(event.faces, 'face')} compared, worst cosine {event.worst_cosine:.7f}"
        case RecognitionMeasured(when, recognition):
            return f"{when} fine-tuning: {recognition_line(recognition)}"
        case EnlargementMeasured():
            return _enlargement_line(event)
        case PhaseStarted(phase):
            return _PHASES[phase]
        case StageStarted():
            return _stage_lines(event)
        case DurationPredicted():
            return predicted_line(_predicted(event))
        case PredictedView():
            return predicted_line(event)
        case EpochMetrics():
            return epoch_line(event)
        case Checkpoint():
            return _checkpoint_line(event)
        case StoppedEarly(epoch, best_epoch):
            return f"stopped early after epoch {epoch}; epoch {best_epoch} is the best"
        case BatchSplit():
            return (
                f"out of memory: batches of {event.batch_size} are computed in microbatches of "
                f"{event.micro_batch_size}; resumes from {point_line(event.stage, event.epoch, event.step)}"
            )
        case RolledBack():
            point = point_line(event.stage, event.epoch, event.step)
            if event.precision is not None:
                return f"fp16 overflowed: resumes from {point} in {event.precision}"
            return f"the loss was not finite: resumes from {point}, learning rates times {event.learning_rate_scale:g}"
        case StepsSkipped():
            return (
                f"  fp16: gradients overflowed in {event.skipped} of {counted(event.steps, 'step')}, which changed no "
                f"weight; loss scale {event.loss_scale:g}"
            )
        case StepChosen(stage, way, reason, compiled, compiled_reason):
            why = f"; {'' if compiled else 'not '}compiled: {compiled_reason}" if compiled_reason else ""
            return f"stage {stage}: {_WAYS[way]} ({reason}{why})"
        case WaitingNoted():
            return f"waits for {event.reason}"
        case ResumeReceipt():
            return resumed_line(event)
        case Finished():
            return f"{event.verdict}\n{_kept(event)}; {event.seconds:.1f} s in all"
        case EvaluationWritten(evaluation):
            return evaluation.verdict
        case Stopped():
            return "stopped; the training state is saved"
    return None


def point_line(stage: int | None, epoch: int | None, step: int | None) -> str:
    """The position of a saved training state: finished epochs of the stage, and steps of the next epoch."""
    return f"stage {stage} epoch {epoch} step {step}"


def resumed_line(receipt: ResumeReceipt) -> str:
    if receipt.from_attempt is None:
        start = "starts from the beginning"
    else:
        point = point_line(receipt.stage, receipt.epoch, receipt.step)
        start = f"resumes from {point} of attempt {receipt.from_attempt}"
    lost = f"{receipt.steps_redone} steps to repeat, {receipt.seconds_lost:.1f} s lost"
    return f"{start}; {lost}, {receipt.seconds_waited:.1f} s without work on it"


def epoch_line(metrics: EpochMetrics) -> str:
    """The metrics that the epoch has, on one line."""
    rates = [f"{rate:.1e}" for rate in (metrics.backbone_lr, metrics.head_lr, metrics.dsr_lr) if rate is not None]
    val = _labelled(metrics, _VAL_METRICS)
    parts = [
        f"  epoch {metrics.epoch:>{len(str(metrics.epochs))}}/{metrics.epochs}",
        f"train {_labelled(metrics, _TRAIN_METRICS)}",
        *([f"val {val}"] if val else []),
        *([f"lr {'/'.join(rates)}"] if rates else []),
        f"{metrics.seconds:.1f} s, {metrics.images_per_second:.0f} images/s",
    ]
    return "  ".join(parts)


def recognition_line(recognition: Recognition) -> str:
    values = {
        "rank-1": _rate(recognition.rank1),
        "TAR@FAR=1%": _tar(recognition, recognition.tar_at_far_1_percent, 0.01),
        "TAR@FAR=0.1%": _tar(recognition, recognition.tar_at_far_01_percent, 0.001),
        "AUC": _rate(recognition.auc),
    }
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _rate(value: float | None) -> str:
    return NO_PAIRS if value is None else f"{value:.4f}"


def _tar(recognition: Recognition, tar: float | None, far: float) -> str:
    pairs, needed = recognition.impostor_pairs, IMPOSTOR_PAIRS_NEEDED[far]
    if tar is None and recognition.genuine_pairs and pairs < needed:
        return f"{TOO_FEW_PAIRS} ({pairs:,} of {needed:,})"
    return _rate(tar)


def _labelled(metrics: EpochMetrics, labels: dict[str, tuple[str, str]]) -> str:
    values = ((label, getattr(metrics, name), format_) for label, (name, format_) in labels.items())
    return " ".join(f"{label} {format(value, format_)}" for label, value, format_ in values if value is not None)


def _prepared_lines(prepared: Prepared) -> str:
    return (
        f"prepared {prepared.train_images} train and {prepared.val_images} val images of {prepared.subjects} subjects "
        f"in {prepared.seconds:.1f} s{_val_subjects(prepared)}\n"
        f"  {prepared.variant} on {prepared.device} in {prepared.precision}; {_SELECTIONS[prepared.selection]}\n"
        f"  enlargement: {prepared.enlargement}; resampler: {prepared.resampler}"
    )


def _val_subjects(prepared: Prepared) -> str:
    """Who val's people are, which decides what the figures of val mean."""
    subjects, known = prepared.val_subjects, prepared.val_subjects_in_train
    if subjects is None or known is None:
        return ""
    return f"\n  val: {counted(subjects, 'subject')}, {known or 'none'} of them in train"


def _stage_lines(started: StageStarted) -> str:
    epochs = "1 epoch" if started.epochs == 1 else f"{started.epochs} epochs"
    return f"stage {started.stage}: {_trained(started)}, {epochs}" + _ACCURACIES.get(started.objective, "")


def _trained(started: StageStarted) -> str:
    if started.stage == 0:
        return "the DSR network"
    if started.stage == 1:
        return "the ArcFace head, backbone frozen"
    match started.objective:
        case "arcface":
            return "backbone and ArcFace head"
        case "distillation":
            return f"backbone and prototypes of {started.identities} identities, by distillation"
    return "the backbone"


def _checkpoint_line(checkpoint: Checkpoint) -> str:
    saved = f"saved {checkpoint.full.path}"
    match checkpoint.selection:
        case "last_epoch":
            return f"  kept: epoch {checkpoint.epoch}, the last validated, {saved}"
        case "val_accuracy" | "verification_auc":
            measure = _MEASURES[checkpoint.selection]
            return f"  new best: epoch {checkpoint.epoch}, {measure} {checkpoint.score:.4f}, {saved}"
    return f"  new checkpoint: epoch {checkpoint.epoch}, score {checkpoint.score:.4f}, {saved}"


def _kept(finished: Finished) -> str:
    """Which epoch is exported."""
    if finished.selection == "last_epoch":
        return f"epoch {finished.best_epoch}, the last, is kept"
    return f"best epoch {finished.best_epoch}"


def _enlargement_line(measured: EnlargementMeasured) -> str:
    quality = f"PSNR {measured.psnr:.2f} dB, SSIM {measured.ssim:.4f}, identity {measured.identity:.4f}"
    return f"{_ENLARGEMENTS.get(measured.by, measured.by)}: {quality}, {recognition_line(measured.recognition)}"


def _predicted(prediction: DurationPredicted) -> PredictedView:
    """The prediction of a training at the terminal, which has no earlier attempts."""
    spent, left = prediction.seconds_spent, prediction.seconds_left
    return PredictedView(
        low=spent + left.low,
        likely=spent + left.likely,
        high=spent + left.high,
        stage1_epochs=prediction.stage1_epochs,
        stage2_epochs=prediction.stage2_epochs,
        stage2_epoch_seconds=prediction.stage2_epoch_seconds,
        can_stop_early=prediction.can_stop_early,
        predicted_after=spent,
    )


def _status_line(changed: StatusChanged) -> str:
    if changed.error is not None:
        return f"{changed.status}: {changed.error.message} ({changed.error.code})\n  hint: {changed.error.hint}"
    match changed.status:
        case JobStatus.QUEUED if changed.reason:
            return f"queued again: {changed.reason}"
        case JobStatus.PAUSING:
            return "pausing: the training state is being saved"
        case JobStatus.PAUSED:
            return "paused: `edgeface-finetune resume JOB` resumes it, `edgeface-finetune cancel JOB` ends it"
    if changed.actual is not None:
        return f"{changed.status}; {actual_line(changed.predicted, changed.actual)}"
    return str(changed.status)
