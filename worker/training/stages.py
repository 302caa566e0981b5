"""One epoch, one stage; the optimizers and the schedule."""

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import Selection
from app.finetune.errors import LossNotFinite
from worker.training.augment import augment
from worker.training.checkpoint import Checkpoints
from worker.training.devices import Precision
from worker.training.events import CheckpointWritten, EpochFinished, Report, Stage, StageStarted, StoppedEarly
from worker.training.losses import ArcFace
from worker.training.models.edgeface import EdgeFace
from worker.training.pixels import normalise
from worker.training.progress import FORWARD_WORK, TRAINING_WORK, Progress
from worker.training.validation import Best, ValEmbeddings, ValFaces, Validated, embed_val, validate

# Shape suffixes: N training faces, B faces of a batch, C = 3 channels (RGB), H = W = 112, D = 512, S subjects; _u8 is
# uint8 in 0..255.


@dataclass(frozen=True)
class Learner:
    """The networks, what they learn from and what they are judged by.

    `faces_u8_NCHW` and `labels_N` may lie elsewhere than on `device`; `generator` draws the order and the augmentation.
    """

    config: FinetuneConfig
    backbone: EdgeFace
    head: ArcFace
    device: torch.device
    precision: Precision
    faces_u8_NCHW: Tensor
    labels_N: Tensor
    val: ValFaces
    selection: Selection
    generator: torch.Generator
    report: Report
    progress: Progress


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss (with margin and label smoothing) and accuracy (0..1, without margin) over the images of an epoch."""

    loss: float
    accuracy: float
    images_per_second: float


def train_head(learner: Learner, embeddings: ValEmbeddings) -> None:
    """Stage 1: the backbone is frozen and in eval mode, the head learns at a constant head_lr.

    `embeddings` are those of the frozen backbone and so serve every validation. Raises LossNotFinite.
    """
    config, epochs = learner.config, learner.config.stage1_epochs
    learner.backbone.eval()
    optimizer = AdamW(learner.head.parameters(), lr=config.head_lr, weight_decay=config.weight_decay)
    scaler = GradScaler(learner.device.type, enabled=learner.precision.scaled)
    learner.report(StageStarted(1, epochs))
    for epoch in range(1, epochs + 1):
        started = time.monotonic()
        learner.progress.start_epoch(1, epoch, epochs)
        totals = train_epoch(learner, optimizer, scaler, None, backbone_learns=False)
        _refuse_divergence(learner, totals, 1, epoch)
        due = _validation_is_due(epoch, epochs, config.val_interval)
        validated = validate(embeddings, learner.head) if due else None
        rates = (config.head_lr, None)
        learner.report(_epoch_finished(1, epoch, epochs, totals, validated, rates, started, best=False))


def train_all(learner: Learner, checkpoints: Checkpoints) -> CheckpointWritten:
    """Stage 2: backbone and head learn, each at its own rate, both along a cosine to zero. Returns the best epoch's
    checkpoint.

    Ends early after early_stop_patience validations without a better one. Raises LossNotFinite.
    """
    config, epochs = learner.config, learner.config.stage2_epochs
    learner.backbone.train()
    optimizer = AdamW(
        [
            {"params": learner.backbone.parameters(), "lr": config.backbone_lr},
            {"params": learner.head.parameters(), "lr": config.head_lr_stage2},
        ],
        weight_decay=config.weight_decay,
    )
    scaler = GradScaler(learner.device.type, enabled=learner.precision.scaled)
    steps = -(-len(learner.labels_N) // config.batch_size)
    schedule = CosineAnnealingLR(optimizer, T_max=epochs * steps)
    best = Best(learner.selection)
    written: CheckpointWritten | None = None
    learner.report(StageStarted(2, epochs))
    for epoch in range(1, epochs + 1):
        started = time.monotonic()
        learner.progress.start_epoch(2, epoch, epochs)
        backbone_lr, head_lr = map(float, schedule.get_last_lr())
        totals = train_epoch(learner, optimizer, scaler, schedule, backbone_learns=True)
        _refuse_divergence(learner, totals, 2, epoch)
        validated = None
        if _validation_is_due(epoch, epochs, config.val_interval):
            validated = validate(
                embed_val(learner.backbone, learner.val, learner.device, learner.progress), learner.head
            )
        is_best = validated is not None and best.offer(epoch, validated)
        rates = (head_lr, backbone_lr)
        learner.report(_epoch_finished(2, epoch, epochs, totals, validated, rates, started, best=is_best))
        learner.progress.finish_epoch()
        if validated is not None and is_best:
            full, backbone = checkpoints.save_best(
                learner.backbone, learner.head, epoch=epoch, val_acc=validated.accuracy, val_auc=validated.auc
            )
            written = CheckpointWritten(full, backbone, epoch, best.score(validated))
            learner.report(written)
        elif 0 < config.early_stop_patience <= best.validations_since and epoch < epochs:
            learner.report(StoppedEarly(epoch, best.epoch))
            break
    assert written is not None, "the last epoch is always validated, and the first validation is the best so far"  # noqa: S101
    return written


def train_epoch(
    learner: Learner, optimizer: Optimizer, scaler: GradScaler, schedule: LRScheduler | None, *, backbone_learns: bool
) -> EpochTotals:
    """Every training face once, in a drawn order, the last batch as small as it is."""
    started = time.monotonic()
    device, head = learner.device, learner.head
    loss_sum = torch.zeros((), device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    order_N = torch.randperm(len(learner.labels_N), generator=learner.generator)
    for chosen_B in torch.split(order_N, learner.config.batch_size):
        x_BCHW, labels_B = _batch(learner, chosen_B)
        with (
            torch.autocast(device.type, learner.precision.autocast, enabled=learner.precision.autocast is not None),
            torch.set_grad_enabled(backbone_learns),
        ):
            e_BD = learner.backbone(x_BCHW)
        loss = F.cross_entropy(head(e_BD, labels_B), labels_B, label_smoothing=learner.config.label_smoothing)
        with torch.no_grad():
            correct += (head.cosine_logits(e_BD).argmax(1) == labels_B).sum()
            loss_sum += loss * len(labels_B)
        optimizer.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        if schedule is not None:
            schedule.step()
        learner.progress.advance(len(labels_B) * (TRAINING_WORK if backbone_learns else FORWARD_WORK))
    images = len(order_N)
    # The one wait for the device in an epoch: reading a number every step would idle it.
    loss_mean, accuracy = loss_sum.item() / images, correct.item() / images
    return EpochTotals(loss_mean, accuracy, images / (time.monotonic() - started))


def _batch(learner: Learner, chosen_B: Tensor) -> tuple[Tensor, Tensor]:
    chosen_B = chosen_B.to(learner.faces_u8_NCHW.device)
    faces_u8_BCHW = learner.faces_u8_NCHW[chosen_B].to(learner.device, non_blocking=True)
    labels_B = learner.labels_N[chosen_B].to(learner.device, non_blocking=True)
    return normalise(augment(faces_u8_BCHW.float() / 255, learner.generator)), labels_B


def _refuse_divergence(learner: Learner, totals: EpochTotals, stage: Stage, epoch: int) -> None:
    parameters = [*learner.backbone.parameters(), *learner.head.parameters()]
    finite = torch.stack([parameter.isfinite().all() for parameter in parameters]).all()
    if not (torch.tensor(totals.loss).isfinite() and finite):
        raise LossNotFinite(stage, epoch)


def _validation_is_due(epoch: int, epochs: int, interval: int) -> bool:
    return epoch % interval == 0 or epoch == epochs


def _epoch_finished(
    stage: Stage,
    epoch: int,
    epochs: int,
    totals: EpochTotals,
    validated: Validated | None,
    rates: tuple[float, float | None],
    started: float,
    *,
    best: bool,
) -> EpochFinished:
    """`rates` are the head's and the backbone's at the start of the epoch."""
    return EpochFinished(
        stage=stage,
        epoch=epoch,
        epochs=epochs,
        train_loss=totals.loss,
        train_accuracy=totals.accuracy,
        val_loss=validated.loss if validated else None,
        val_accuracy=validated.accuracy if validated else None,
        val_auc=validated.auc if validated else None,
        head_lr=rates[0],
        backbone_lr=rates[1],
        seconds=time.monotonic() - started,
        images_per_second=totals.images_per_second,
        best=best,
    )
