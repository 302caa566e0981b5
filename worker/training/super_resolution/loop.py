"""Training loop of a DSR network: steps, epochs, validation, events and states.

The random numbers of a step depend only on the seed, the epoch and the step, so a resumed training equals an
uninterrupted one.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.finetune.config import FACE_SIZE
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.events import BatchSplit, Checkpoint, DsrEpochFinished, Report, TrainingEvent, WrittenFile
from app.finetune.training_errors import DsrLossNotFinite, OutOfMemory
from worker.training.checkpoints.best_model import plain
from worker.training.data.preprocess import Enlarge
from worker.training.models.dsr import DSR
from worker.training.models.edgeface import EdgeFace
from worker.training.models.layout import in_a_layout_with_kernels
from worker.training.runtime.control import Control, StopRequested
from worker.training.runtime.cpu_parallel import CpuParallel
from worker.training.runtime.gpu_wait import wait_for_gpu
from worker.training.runtime.microbatches import add_gradients, slices_of
from worker.training.runtime.out_of_memory import unless_out_of_memory
from worker.training.runtime.progress import Progress
from worker.training.runtime.tf32 import tf32_convolutions
from worker.training.runtime.transfers import to_device
from worker.training.super_resolution.degradations import degrade, draw_degradations
from worker.training.super_resolution.losses import Losses, losses_of
from worker.training.super_resolution.state import DsrTrainState, DsrTrainStateFiles
from worker.training.super_resolution.val_faces import Enlarged, ValFaces, enlarge_val
from worker.training.validation.selection import Validated

# Shape suffixes: N training faces, B faces of a batch, M of a microbatch, C = 3 channels (RGB), H = W = 112 pixels, S
# pixels of a VLR face, U pixels of the network's output, D = 512 dimensions; _u8 is uint8 in [0, 255].


@dataclass(frozen=True)
class Work:
    """Cost of a training face and of a validation probe, in forward passes of EdgeFace-XXS."""

    step: float
    validation: float


@dataclass(frozen=True)
class DsrRunContext:
    """Constants of a run. `train_e_2ND` are the embeddings of the training faces, plain and mirrored; `enlarge` applies
    the network as the pipeline does; `save` writes it as the best checkpoint."""

    config: DsrTrainingConfig
    device: torch.device
    edgeface: EdgeFace
    train_u8_NCHW: Tensor
    train_e_2ND: Tensor
    val: ValFaces
    enlarge: Enlarge
    save: Callable[[DSR, int], WrittenFile]
    work: Work
    report: Report
    progress: Progress
    control: Control
    parallel: CpuParallel

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.train_u8_NCHW) // self.config.batch_size)


def train_to_the_end(context: DsrRunContext, state: DsrTrainState, state_files: DsrTrainStateFiles) -> Checkpoint:
    """Train the remaining epochs and return the best epoch's checkpoint.

    Raises DsrLossNotFinite, EnlargementNotFinite, OutOfMemory, DiskFull and StopRequested.
    """
    while state.epoch < context.config.epochs:
        lr = learning_rate(context, state.epoch * context.steps_per_epoch)
        train_epoch(context, state, state_files)
        enlarged = _validate(context, state, state_files)
        _finish_epoch(context, state, state_files, enlarged, lr)
    assert state.checkpoint is not None, "the first epoch is the best so far"  # noqa: S101
    return state.checkpoint


def train_epoch(context: DsrRunContext, state: DsrTrainState, state_files: DsrTrainStateFiles) -> None:
    """Train the remaining steps of an epoch, which shows every training face once in random order. The last batch may
    be smaller."""
    config, faces = context.config, len(context.train_u8_NCHW)
    order_N = torch.randperm(faces, generator=_generator(config.seed, state.epoch, 0))
    context.progress.start_epoch(
        0,
        state.epoch + 1,
        config.epochs,
        step=state.step,
        steps=context.steps_per_epoch,
        steps_done=state.steps_done,
    )
    for batch in slices_of(state.step * config.batch_size, faces, config.batch_size):
        started = time.monotonic()
        train_step(context, state, order_N[batch])
        state.step += 1
        state.steps_done += 1
        state.seconds += time.monotonic() - started
        context.progress.advance((batch.stop - batch.start) * context.work.step, steps=1)
        if context.control.stop.is_set() or state_files.is_due():
            context.report(state_files.write(state))
        context.control.refuse_if_stopped()


def train_step(context: DsrRunContext, state: DsrTrainState, chosen_B: Tensor) -> None:
    """Run one optimizer step on the faces with indices `chosen_B`, in microbatches that the CPU threads share.

    Raises OutOfMemory, and DsrLossNotFinite before the weights change.
    """
    config, optimizer = context.config, state.optimizer
    generator = _generator(config.seed, state.epoch, state.step + 1)
    size = config.vlr_sizes[int(torch.randint(len(config.vlr_sizes), (), generator=generator))]
    mirrored_B = torch.rand(len(chosen_B), generator=generator) < 0.5
    drawn = draw_degradations(config, len(chosen_B), size, generator)
    hr_u8_BCHW = to_device(context.train_u8_NCHW[chosen_B], context.device)
    mirrored_there_B = to_device(mirrored_B, context.device)
    hr_u8_BCHW = torch.where(mirrored_there_B[:, None, None, None], hr_u8_BCHW.flip(3), hr_u8_BCHW)
    vlr_u8_BCSS = degrade(hr_u8_BCHW, drawn)
    e_BD = to_device(context.train_e_2ND[mirrored_B.long(), chosen_B], context.device)
    compute = partial(_compute_microbatch, context, state.dsr, hr_u8_BCHW, vlr_u8_BCSS, e_BD)
    while (
        computed := unless_out_of_memory(partial(_compute_microbatches, context, state, compute, len(chosen_B)))
    ) is None:
        _split(context, state)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(context, state.steps_done)
    optimizer.zero_grad()
    for microbatch in computed:
        add_gradients(list(state.dsr.parameters()), microbatch.gradients)
    sums = torch.stack([microbatch.sums for microbatch in computed]).sum(0)
    if not sums.isfinite().all():
        raise DsrLossNotFinite(state.epoch + 1, state.step + 1)
    state.sums += sums.cpu()
    optimizer.step()


def learning_rate(context: DsrRunContext, steps_done: int) -> float:
    """Return the learning rate of a step, on a cosine that reaches zero at the last step."""
    share = steps_done / (context.config.epochs * context.steps_per_epoch)
    return context.config.lr * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class _Microbatch:
    """Gradients of a microbatch's share of the loss, and its loss sums over the faces."""

    gradients: tuple[Tensor, ...]
    sums: Tensor


def _compute_microbatches(
    context: DsrRunContext, state: DsrTrainState, compute: Callable[[slice], _Microbatch], faces: int
) -> list[_Microbatch]:
    at_once = min(state.micro_batch_size, -(-faces // context.parallel.count))
    return context.parallel.map(compute, list(slices_of(0, faces, at_once)))


def _compute_microbatch(
    context: DsrRunContext, dsr: DSR, hr_u8_BCHW: Tensor, vlr_u8_BCSS: Tensor, e_BD: Tensor, places: slice
) -> _Microbatch:
    vlr_MCSS = (vlr_u8_BCSS[places].float() / 255).contiguous(memory_format=torch.channels_last)
    hr_MCHW = hr_u8_BCHW[places].float() / 255

    def gradients_of() -> tuple[Losses, tuple[Tensor, ...]]:
        losses = losses_of(context.config, context.edgeface, to_face(dsr(vlr_MCSS)), hr_MCHW, e_BD[places])
        return losses, torch.autograd.grad(losses.total.sum() / len(e_BD), list(dsr.parameters()))

    with tf32_convolutions():
        losses, gradients = in_a_layout_with_kernels(nn.ModuleList([dsr, context.edgeface]), gradients_of)
    each = (losses.total, losses.pixel, losses.perceptual, losses.identity)
    return _Microbatch(gradients, torch.stack([loss.detach().double().sum() for loss in each]))


def to_face(enlarged_BCUU: Tensor) -> Tensor:
    """Resize [B, 3, U, U] to [B, 3, 112, 112] as the pipeline does after a DSR network."""
    reduces = enlarged_BCUU.shape[2] > FACE_SIZE
    return F.interpolate(enlarged_BCUU, (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=reduces)


def _split(context: DsrRunContext, state: DsrTrainState) -> None:
    """Halve the microbatch size. Raises OutOfMemory if it is one face already."""
    if state.micro_batch_size == 1:
        raise OutOfMemory(1)
    state.micro_batch_size //= 2
    context.report(BatchSplit(context.config.batch_size, state.micro_batch_size, 0, state.epoch, state.step))


def _validate(context: DsrRunContext, state: DsrTrainState, state_files: DsrTrainStateFiles) -> Enlarged:
    """Enlarge and embed val. If stopped, save the state from before the validation."""
    started, done = time.monotonic(), context.progress.done

    def on_faces(count: int) -> None:
        context.progress.advance(count * context.work.validation)
        context.control.refuse_if_stopped()

    try:
        enlarged = enlarge_val(
            context.val, context.enlarge, context.edgeface, context.device, on_faces, parallel=context.parallel
        )
    except StopRequested:
        context.progress.go_back(done)
        context.report(state_files.write(state))
        raise
    wait_for_gpu()
    state.seconds += time.monotonic() - started
    return enlarged


def _finish_epoch(
    context: DsrRunContext, state: DsrTrainState, state_files: DsrTrainStateFiles, enlarged: Enlarged, lr: float
) -> None:
    """Write the state, then report the epoch, so that no reported epoch is trained again."""
    measured, faces = enlarged.measure(), len(context.train_u8_NCHW)
    auc, epoch = measured.recognition.auc, state.epoch + 1
    best = state.best.offer(epoch, Validated(None, None, auc))
    total, pixel, perceptual, identity = (state.sums / faces).tolist()
    separated = measured.separation
    events: list[TrainingEvent] = [
        DsrEpochFinished(
            stage=0,
            epoch=epoch,
            epochs=context.config.epochs,
            train_loss=total,
            train_pixel_loss=pixel,
            train_perceptual_loss=perceptual,
            train_identity_loss=identity,
            val_psnr=enlarged.psnr,
            val_ssim=enlarged.ssim,
            val_identity=enlarged.identity,
            val_auc=auc,
            val_tar_at_far_1_percent=measured.recognition.tar_at_far_1_percent,
            val_genuine_similarity=separated.genuine if separated else None,
            val_impostor_similarity=separated.impostor if separated else None,
            val_d_prime=separated.d_prime if separated else None,
            dsr_lr=lr,
            seconds=state.seconds,
            images_per_second=faces / state.seconds,
            best=best,
        )
    ]
    if best:
        full = context.save(state.dsr, epoch)
        state.checkpoint = Checkpoint(epoch=epoch, score=auc or 0.0, full=full, stage=0, selection="verification_auc")
        events.append(state.checkpoint)
    state.epoch, state.step, state.seconds = epoch, 0, 0.0
    state.sums = torch.zeros_like(state.sums)
    events.append(state_files.write(state))
    for event in events:
        context.report(event)


def _generator(seed: int, epoch: int, step: int) -> torch.Generator:
    """Return the generator of a step, counted from 1, or with step 0 of the epoch's order."""
    mixed = np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]) >> 1)


def state_dict_of(dsr: DSR) -> dict[str, Tensor]:
    """Return the content of `dsr.pth`: the bare state dict, contiguous."""
    return {name: tensor.contiguous() for name, tensor in plain(dsr.state_dict()).items()}
