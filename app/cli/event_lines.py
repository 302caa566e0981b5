"""The lines for the events of a job or a training, for `train`, `watch`, `submit --watch` and `demo`."""

from app.api_models.attempts import ResumeReceipt
from app.api_models.durations import PredictedView
from app.api_models.events import StatusChanged, WaitingNoted
from app.api_models.job_status import JobStatus
from app.cli.durations import actual_line, predicted_line
from app.finetune.checkpoint import Checkpoint
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.events import (
    BatchSplit,
    DurationPredicted,
    EnlargementMeasured,
    EvaluationStarted,
    EvaluationWritten,
    Finished,
    Prepared,
    Recognition,
    RecognitionMeasured,
    RolledBack,
    StageStarted,
    Stopped,
    StoppedEarly,
    Warned,
)
from app.finetune.job_warning import JobWarning

_STAGES = {
    0: "the DSR network",
    1: "the ArcFace head, backbone frozen",
    2: "backbone and ArcFace head",
}
_ENLARGEMENTS = {"direct": "direct feed", "bicubic": "bicubic enlargement", "dsr": "this DSR"}
_SELECTIONS = {
    "val_accuracy": "val accuracy chooses the best epoch",
    "verification_auc": "verification AUC chooses the best epoch",
    "last_epoch": "the last epoch is kept",
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
        case EvaluationStarted(device):
            return f"evaluating on {device}"
        case RecognitionMeasured(when, recognition):
            return f"{when} fine-tuning: {recognition_line(recognition)}"
        case EnlargementMeasured():
            return _enlargement_line(event)
        case StageStarted(stage, epochs):
            return f"stage {stage}: {_STAGES[stage]}, {epochs} epochs"
        case DurationPredicted():
            return predicted_line(_predicted(event))
        case PredictedView():
            return predicted_line(event)
        case EpochMetrics():
            return epoch_line(event)
        case Checkpoint():
            return f"  new best: epoch {event.epoch}, score {event.score:.4f}, saved {event.full.path}"
        case StoppedEarly(epoch, best_epoch):
            return f"stopped early after epoch {epoch}; epoch {best_epoch} is the best"
        case BatchSplit():
            return (
                f"out of memory: batches of {event.batch_size} are computed in microbatches of "
                f"{event.micro_batch_size}; resumes from {point_line(event.stage, event.epoch, event.step)}"
            )
        case RolledBack():
            return (
                f"the loss was not finite: resumes from {point_line(event.stage, event.epoch, event.step)}, learning "
                f"rates times {event.learning_rate_scale:g}"
            )
        case WaitingNoted():
            return f"waits for {event.reason}"
        case ResumeReceipt():
            return resumed_line(event)
        case Finished():
            return f"{event.verdict}\nbest epoch {event.best_epoch}; {event.seconds:.1f} s in all"
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
    return f"{start}; {receipt.steps_redone} steps to repeat, {receipt.seconds_lost:.1f} s lost"


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
        "rank-1": recognition.rank1,
        "TAR@FAR=1%": recognition.tar_at_far_1_percent,
        "TAR@FAR=0.1%": recognition.tar_at_far_01_percent,
        "AUC": recognition.auc,
    }
    return ", ".join(f"{name} {'-' if value is None else format(value, '.4f')}" for name, value in values.items())


def _labelled(metrics: EpochMetrics, labels: dict[str, tuple[str, str]]) -> str:
    values = ((label, getattr(metrics, name), format_) for label, (name, format_) in labels.items())
    return " ".join(f"{label} {format(value, format_)}" for label, value, format_ in values if value is not None)


def _prepared_lines(prepared: Prepared) -> str:
    return (
        f"prepared {prepared.train_images} train and {prepared.val_images} val images of {prepared.subjects} subjects "
        f"in {prepared.seconds:.1f} s\n"
        f"  {prepared.variant} on {prepared.device} in {prepared.precision}; {_SELECTIONS[prepared.selection]}\n"
        f"  enlargement: {prepared.enlargement}; resampler: {prepared.resampler}"
    )


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
