"""Compiles a backbone as a training would, on drawn numbers. Importing this module imports PyTorch."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from app.finetune.checked_copy import CheckedCopy
from app.finetune.config import FinetuneConfig
from app.finetune.edgeface_shapes import EMBEDDING_SIZE
from worker.training.data.loader import Batch
from worker.training.loop.compiled_backbone import CompilerCache, compiling_of
from worker.training.loop.optimizers import backbone_and_head
from worker.training.loop.step import ForwardBackward
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed_faces
from worker.training.models.layout import in_a_layout_with_kernels
from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax
from worker.training.runtime.control import Control
from worker.training.runtime.device import choose_device, choose_precision

_CLASSES = 64


@dataclass(frozen=True)
class Compiled:
    """A backbone compiled in `seconds`, or loaded, where `cold` is 0. `differences` in words."""

    folder: Path
    seconds: float
    cold: int
    is_right: bool
    differences: str

    def mark_whole(self) -> None:
        """Let trainings use it. Raises DiskFull."""
        CompilerCache(self.folder).mark_whole(self.seconds, Control())


def compile_backbone(
    config: FinetuneConfig, edgeface: CheckedCopy | Path, compiled_dir: Path, backend: str = "inductor"
) -> Compiled:
    """Compile the weights' backbone for batches of `config` into a folder of `compiled_dir`, and compare a step with
    the uncompiled one on drawn faces. Raises EdgefaceError, and what the compiler raises."""
    device = choose_device(config.device)
    precision, generator = choose_precision(config.mixed_precision, device), torch.Generator().manual_seed(0)
    backbone, _ = load_edgeface(edgeface, device)
    backbone.train()
    classifier = CosineClassifier(EMBEDDING_SIZE, _CLASSES, config.arcface_scale, generator).to(device)
    objective = MarginSoftmax(classifier, ArcFaceMargin(config.arcface_margin), config.label_smoothing)
    optimizers = backbone_and_head(
        backbone, objective.parameters(), config, steps=1, scale=1.0, device=device.type, scaled=False
    )
    step = ForwardBackward(
        partial(embed_faces, backbone, precision=precision), objective, optimizers, config.batch_size
    )
    faces = torch.rand(config.batch_size, 3, 112, 112, generator=generator) * 2 - 1
    labels = torch.randint(_CLASSES, (config.batch_size,), generator=generator)
    batch = Batch(faces.to(device), labels.to(device))
    in_a_layout_with_kernels(backbone, partial(step.gradients, batch))
    compiling = compiling_of(
        step,
        backbone,
        device,
        precision,
        batch_size=config.batch_size,
        steps_left=0,
        compiled_dir=compiled_dir,
        backend=backend,
    )
    found = compiling.compare(batch, step.gradients)
    return Compiled(compiling.cache().folder, found.seconds, found.cold, found.is_right, str(found))
