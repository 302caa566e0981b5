"""A backbone as an ONNX file: exported by PyTorch, loaded again by ONNX Runtime, and compared with PyTorch.

The exporter is the one by tracing (docs/decisions/0033-onnx-files-by-tracing.md).
"""

import copy
import io
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor

from app.finetune.checkpoint import WrittenFile
from app.finetune.config import FACE_SIZE
from app.finetune.model_export import LEAST_COSINE, LICENCE, ONNX_INPUT, ONNX_OUTPUT, OPSET, ModelExported
from app.finetune.training_errors import OnnxDiffers
from worker.training.models.edgeface import EdgeFace, normalise
from worker.training.runtime.control import Control
from worker.training.runtime.profiling import profiled
from worker.training.storage.atomic import write_whole

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions; _u8 is uint8.

MOST_COMPARED = 256
"""Faces, evenly spread."""

_FACES_AT_ONCE = 32


@profiled("export")
def export_onnx(
    backbone: EdgeFace,
    faces_u8_NCHW: Tensor,
    e_ND: Tensor,
    path: Path,
    control: Control,
    *,
    variant: str,
    weights_sha256: str,
    about: Mapping[str, str],
) -> ModelExported:
    """Write the backbone to `path`, atomically. `faces_u8_NCHW` are faces, and `e_ND` their L2-normalised embeddings by
    the backbone, on any device. `about` becomes metadata of the file, beside what every file has.

    Raises OnnxDiffers, which leaves no file, DiskFull and StopRequested.
    """
    started = time.monotonic()
    metadata = {
        "variant": variant,
        "input": f"{ONNX_INPUT}: RGB faces [N, 3, {FACE_SIZE}, {FACE_SIZE}], float32",
        "output": f"{ONNX_OUTPUT}: [N, {e_ND.shape[1]}], float32, not L2-normalised",
        "normalisation": "(value / 255 - 0.5) / 0.5",
        "mean": "0.5",
        "std": "0.5",
        "opset": str(OPSET),
        "weights_sha256": weights_sha256,
        "made_by": f"edgeface-finetune {version('edgeface-finetune')}",
        "licence": LICENCE,
        **about,
    }
    content = _exported(backbone, metadata)
    control.refuse_if_stopped()
    chosen = np.unique(np.linspace(0, len(e_ND) - 1, min(len(e_ND), MOST_COMPARED)).round().astype(int))
    cosines_N = _cosines(content, faces_u8_NCHW.cpu()[chosen], e_ND.cpu()[chosen], control)
    worst = float(cosines_N.min())
    if not worst >= LEAST_COSINE:
        raise OnnxDiffers(worst, LEAST_COSINE)
    file: WrittenFile = write_whole(path, memoryview(content), control)
    return ModelExported(
        file=file,
        weights_sha256=weights_sha256,
        variant=variant,
        opset=OPSET,
        faces=len(chosen),
        worst_cosine=worst,
        mean_cosine=float(cosines_N.mean()),
        seconds=time.monotonic() - started,
    )


def _exported(backbone: EdgeFace, metadata: Mapping[str, str]) -> bytes:
    cpu = copy.deepcopy(backbone).to("cpu", torch.float32).eval().requires_grad_(False)
    file = io.BytesIO()
    with _quietly(), torch.no_grad():
        torch.onnx.export(
            cpu,
            (torch.zeros(2, 3, FACE_SIZE, FACE_SIZE),),
            file,  # type: ignore[arg-type]  # tracing writes to a buffer too
            dynamo=False,
            opset_version=OPSET,
            input_names=[ONNX_INPUT],
            output_names=[ONNX_OUTPUT],
            dynamic_axes={ONNX_INPUT: {0: "N"}, ONNX_OUTPUT: {0: "N"}},
        )
    model = onnx.load_model_from_string(file.getvalue())
    onnx.helper.set_model_props(model, dict(metadata))
    content: bytes = model.SerializeToString()
    return content


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter by tracing is deprecated, and warns of each size that the trace fixes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _cosines(content: bytes, faces_u8_NCHW: Tensor, e_ND: Tensor, control: Control) -> npt.NDArray[np.float64]:
    """The cosines between the embeddings by ONNX Runtime and `e_ND`, [N]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = []
    for first in range(0, len(faces_u8_NCHW), _FACES_AT_ONCE):
        faces_u8_BCHW = faces_u8_NCHW[first : first + _FACES_AT_ONCE]
        control.refuse_if_stopped()
        found.append(session.run([ONNX_OUTPUT], {ONNX_INPUT: normalise(faces_u8_BCHW).numpy()})[0])
    by_onnx_ND, by_torch_ND = np.concatenate(found).astype(np.float64), e_ND.double().numpy()
    products_N = (by_onnx_ND * by_torch_ND).sum(axis=1)
    lengths_N: npt.NDArray[np.float64] = np.linalg.norm(by_onnx_ND, axis=1) * np.linalg.norm(by_torch_ND, axis=1)
    cosines_N: npt.NDArray[np.float64] = products_N / lengths_N
    return cosines_N
