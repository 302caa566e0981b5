"""Writes weights as an ONNX file, compared with PyTorch on drawn patterns: the weights come without faces."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.artifact_names import ONNX_NAME
from app.finetune.checked_copy import copy_of
from app.finetune.config import FACE_SIZE
from app.finetune.errors import printable
from app.finetune.events import ModelExported, ModelExportStarted, Report, Stopped
from app.finetune.model_export_config import ModelExportConfig
from worker.model_export.files import ModelExportFiles
from worker.training.checkpoints.onnx_file import export_onnx
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control
from worker.training.runtime.outcome import report_outcome
from worker.training.runtime.progress import Progress, at_work
from worker.training.storage.digests import sha256_of_weights

_PATTERNS = 64
_COARSE = 8
"""Pixels a side of the random images that become smooth patterns."""


def export_model(
    config: ModelExportConfig, files: ModelExportFiles, report: Report, control: Control | None = None
) -> ModelExported | Stopped:
    """Write `edgeface.onnx` into `output_dir`. Returns the last event, Stopped if `control` was stopped.

    Raises WeightsError, OnnxDiffers and DiskFull.
    """
    return report_outcome(partial(_export, config, files, report, control or Control()), report)


def _export(config: ModelExportConfig, files: ModelExportFiles, report: Report, control: Control) -> ModelExported:
    progress = Progress(report)
    progress.start("checking")
    control = at_work(control, progress)
    backbone, variant = load_edgeface(copy_of(files.copies, files.edgeface))
    sha256 = sha256_of_weights(files.edgeface, files.copies, control)
    report(ModelExportStarted(weights_sha256=sha256, variant=variant.name))
    progress.start("writing")
    faces_u8_NCHW = _patterns()
    exported = export_onnx(
        backbone,
        faces_u8_NCHW,
        embed(backbone, faces_u8_NCHW, torch.device("cpu")),
        files.output_dir / ONNX_NAME,
        control,
        variant=variant.name,
        weights_sha256=sha256,
        about={"job": files.job, "weights": printable(config.edgeface)},
    )
    progress.finish()
    return exported


def _patterns() -> Tensor:
    """Smooth random images, uint8 [N, 3, 112, 112], always the same."""
    coarse_NCHW = torch.rand(_PATTERNS, 3, _COARSE, _COARSE, generator=torch.Generator().manual_seed(0))
    size = (FACE_SIZE, FACE_SIZE)
    return F.interpolate(coarse_NCHW, size, mode="bicubic").clamp(0, 1).mul(255).to(torch.uint8)
