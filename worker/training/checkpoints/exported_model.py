"""The ONNX file of a training's best backbone."""

import logging

import torch
from torch import Tensor

from app.finetune.artifact_names import ONNX_NAME
from app.finetune.errors import EdgefaceError, printable
from app.finetune.events import Checkpoint, ModelExported
from app.finetune.job_warning import JobWarning
from app.finetune.training_errors import DiskFull
from worker.training.checkpoints.onnx_file import export_onnx
from worker.training.data.val_faces import ValFaces
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.control import Control, StopRequested
from worker.training.storage.paths import TrainingFiles

_log = logging.getLogger(__name__)


def export_best(
    backbone: EdgeFace,
    variant: str,
    best: Checkpoint,
    val: ValFaces,
    probes_PD: Tensor,
    gallery_GD: Tensor,
    files: TrainingFiles,
    control: Control,
) -> ModelExported | JobWarning:
    """Write the backbone of the best checkpoint as an ONNX file and return it, or a warning if that failed, since the
    trained weights stay valid.

    `probes_PD` and `gallery_GD` are its L2-normalised embeddings of val. Raises only DiskFull and StopRequested, after
    which the job resumes from its last state.
    """
    assert best.backbone is not None  # noqa: S101 - every checkpoint of a fine-tuning has one
    try:
        return export_onnx(
            backbone,
            torch.cat([val.probes_u8_PCHW, val.gallery_u8_GCHW]),
            torch.cat([probes_PD, gallery_GD]),
            files.output_dir / ONNX_NAME,
            control,
            variant=variant,
            weights_sha256=best.backbone.sha256,
            about={"job": files.job or "", "epoch": str(best.epoch)},
        )
    except (DiskFull, StopRequested):
        raise
    except Exception as error:
        if not isinstance(error, EdgefaceError):
            _log.exception("the export after the training failed")
        reason = error.message if isinstance(error, EdgefaceError) else f"{type(error).__name__}: {error}"
        return JobWarning(
            code="not_exported", message=f"no ONNX file was written: {' '.join(printable(reason).split())}"
        )
