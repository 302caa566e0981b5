"""Ours: the training of a job; and (d) the ceiling: its stage 2 steps alone."""

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.events import EpochFinished, RecognitionMeasured, TrainingEvent
from benchmarks.training.data import FACE_SIZE, Inputs
from benchmarks.training.outcome import Trained
from benchmarks.training.plain import subjects_of
from worker.training.finetune import finetune
from worker.training.loop.optimizers import backbone_and_head
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed_faces
from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax
from worker.training.runtime.cpu_parallel import parallel_for
from worker.training.runtime.device import choose_device, choose_precision
from worker.training.runtime.microbatches import add_gradients, slices_of


def train(inputs: Inputs, output: Path) -> Trained:
    """Train to the best checkpoint and its recognition. The evaluation and its report, which no peer makes, are timed
    separately."""
    trained = Trained()

    def hear(event: TrainingEvent) -> None:
        if isinstance(event, RecognitionMeasured) and event.when == "after":
            trained.seconds = time.perf_counter() - started
        if isinstance(event, EpochFinished):
            trained.losses.append(event.train_loss)
            if event.stage == 2:
                trained.images_per_second.append(event.images_per_second)

    started = time.perf_counter()
    finetune(inputs.config, inputs.files(output), hear)
    trained.seconds_with_evaluation = time.perf_counter() - started
    return trained


def ceiling(inputs: Inputs, _output: Path) -> Trained:
    """Run the same number of stage 2 steps on random faces on the device, without validation and files."""
    config, device = inputs.config, choose_device(inputs.config.device)
    precision = choose_precision(config.mixed_precision, device)
    backbone, _ = load_edgeface(inputs.folder / "edgeface.pt", device)
    subjects = len(subjects_of(inputs))
    head = CosineClassifier(512, subjects, config.arcface_scale).to(device)
    arcface = MarginSoftmax(head, ArcFaceMargin(config.arcface_margin))
    images = len(list(inputs.train_vlr.iterdir()))
    faces_NCHW = torch.rand(images, 3, FACE_SIZE, FACE_SIZE, device=device) * 2 - 1
    labels_N = torch.arange(images, device=device) % subjects
    parallel = parallel_for(device, config.batch_size)
    batches = list(slices_of(0, images, config.batch_size))
    steps = len(batches) * config.stage2_epochs
    optimization = backbone_and_head(
        backbone, head.parameters(), config, steps=steps, scale=1.0, device=device.type, scaled=precision.scaled
    )
    backbone.train()

    def gradients(places: slice) -> tuple[Tensor, ...]:
        logits_BS, _ = arcface.logits(embed_faces(backbone, faces_NCHW[places], precision), labels_N[places])
        loss = F.cross_entropy(logits_BS, labels_N[places], label_smoothing=config.label_smoothing)
        return torch.autograd.grad(optimization.scaler.scale(loss), optimization.parameters)

    trained = Trained()
    with trained.timed():
        for _ in range(config.stage2_epochs):
            started = time.perf_counter()
            for batch in batches:
                optimization.optimizer.zero_grad()
                parts = slices_of(batch.start, batch.stop, -(-(batch.stop - batch.start) // parallel.count))
                for computed in parallel.map(gradients, parts):
                    add_gradients(optimization.parameters, computed)
                optimization.scaler.step(optimization.optimizer)
            if device.type == "cuda":
                torch.cuda.synchronize()
            trained.images_per_second.append(images / (time.perf_counter() - started))
    return trained
