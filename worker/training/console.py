"""A training's events as the lines that a person at a terminal reads."""

from app.finetune.events import (
    BatchSplit,
    CheckpointWritten,
    DryRunFinished,
    DsrEpochFinished,
    DurationPredicted,
    EnlargementMeasured,
    EpochFinished,
    EvaluationStarted,
    EvaluationWritten,
    Finished,
    Prepared,
    Progressed,
    Recognition,
    RecognitionMeasured,
    RolledBack,
    StageStarted,
    StateSaved,
    Stopped,
    StoppedEarly,
    TrainingEvent,
    Warned,
)

_ENLARGEMENTS = {"hr": "HR", "direct": "Direct feed", "bicubic": "Bicubic enlargement", "dsr": "This DSR"}
_STAGES = {
    0: "training the DSR network",
    1: "training the ArcFace head (backbone frozen)",
    2: "fine-tuning backbone and ArcFace head",
}


def render(event: TrainingEvent) -> str | None:
    """The line or lines for an event; None where others say enough: of progress and saved states the
    epochs, of going back the warning."""
    match event:
        case Prepared():
            return _prepared(event)
        case Warned(warning):
            return f"Warning ({warning.code}): {warning.message}"
        case RecognitionMeasured(when, recognition):
            return f"Recognition {when} fine-tuning: {_recognition(recognition)}"
        case StageStarted(stage, epochs):
            return f"\nStage {stage}: {_STAGES[stage]}, {epochs} epochs"
        case DurationPredicted(spent, left):
            likely, low, high = (spent + seconds for seconds in (left.likely, left.low, left.high))
            return f"  will take about {likely:.0f} s ({low:.0f} to {high:.0f}) in all, less if it stops early"
        case EpochFinished():
            return _epoch(event)
        case DsrEpochFinished():
            return _dsr_epoch(event)
        case EnlargementMeasured(by, decibels, similar, cosine, recognition):
            quality = f"PSNR {decibels:.2f} dB  SSIM {similar:.4f}  identity {cosine:.4f}"
            return f"{_ENLARGEMENTS[by]}: {quality}  {_recognition(recognition)}"
        case CheckpointWritten():
            return f"  new best: epoch {event.epoch}, score {event.score:.4f}, saved {event.full.path}"
        case StoppedEarly(epoch, best_epoch):
            return f"Stopped early after epoch {epoch}: none since epoch {best_epoch} was better"
        case Finished():
            return f"\n{event.verdict}\nBest epoch {event.best_epoch}; {event.seconds:.1f} s in all"
        case BatchSplit(batch_size, micro_batch_size):
            return f"  out of memory: batches of {batch_size} are computed {micro_batch_size} at a time from here on"
        case Stopped():
            return "Stopped; the state is saved"
        case EvaluationStarted(device):
            return f"Evaluating on {device}"
        case EvaluationWritten(evaluation):
            return evaluation.verdict
        case Progressed() | StateSaved() | RolledBack() | DryRunFinished():
            return None


def _prepared(event: Prepared) -> str:
    chosen = {
        "val_accuracy": "the best epoch is chosen by val accuracy",
        "verification_auc": "the best epoch is chosen by verification AUC",
        "last_epoch": "the last epoch is kept",
    }[event.selection]
    return (
        f"Prepared {event.train_images} train images of {event.subjects} subjects and {event.val_images} val images "
        f"in {event.seconds:.1f} s\n"
        f"  backbone {event.variant} on {event.device} in {event.precision}; {chosen}\n"
        f"  enlargement {event.enlargement}; resampler {event.resampler}"
    )


def _epoch(event: EpochFinished) -> str:
    epoch = f"Epoch {event.epoch:>{len(str(event.epochs))}}/{event.epochs}"
    train = f"train loss {event.train_loss:.4f} acc {event.train_accuracy:.4f}"
    val = [
        f"{name} {value:.{digits}f}"
        for name, value, digits in (
            ("loss", event.val_loss, 4),
            ("acc", event.val_accuracy, 4),
            ("auc", event.val_auc, 4),
            ("d'", event.val_d_prime, 2),
        )
        if value is not None
    ]
    rates = [f"{rate:.1e}" for rate in (event.backbone_lr, event.head_lr) if rate is not None]
    speed = f"{event.seconds:.1f} s  {event.images_per_second:.0f} images/s"
    parts = [epoch, train, *([" ".join(["val", *val])] if val else []), f"lr {'/'.join(rates)}", speed]
    return "  ".join(parts)


def _dsr_epoch(event: DsrEpochFinished) -> str:
    epoch = f"Epoch {event.epoch:>{len(str(event.epochs))}}/{event.epochs}"
    train = (
        f"train loss {event.train_loss:.4f} (pixel {event.train_pixel_loss:.4f} perceptual "
        f"{event.train_perceptual_loss:.4f} identity {event.train_identity_loss:.4f})"
    )
    val = f"val PSNR {event.val_psnr:.2f} dB SSIM {event.val_ssim:.4f} identity {event.val_identity:.4f}"
    auc = "" if event.val_auc is None else f" auc {event.val_auc:.4f}"
    speed = f"{event.seconds:.1f} s  {event.images_per_second:.0f} images/s"
    return f"{epoch}  {train}  {val}{auc}  lr {event.dsr_lr:.1e}  {speed}"


def _recognition(recognition: Recognition) -> str:
    values = {
        "rank-1": recognition.rank1,
        "TAR@FAR=1%": recognition.tar_at_far_1_percent,
        "TAR@FAR=0.1%": recognition.tar_at_far_01_percent,
        "AUC": recognition.auc,
    }
    return "  ".join(f"{name} {'n/a' if value is None else f'{value:.4f}'}" for name, value in values.items())
