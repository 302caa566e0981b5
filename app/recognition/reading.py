"""Runs in a limited child: photos to faces, faces to embeddings."""

import hashlib

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from app.finetune.errors import printable
from app.finetune.model_export import ONNX_INPUT, ONNX_OUTPUT
from app.finetune.plain_image import plain_png
from app.finetune.user_files import read_file
from app.isolated.task import Progress
from app.recognition.errors import ModelFileDamaged
from app.recognition.faces import Faces
from app.recognition.task import EmbeddedFace, EmbedRequest, EmbedResult, OnnxModel

_MOST_MODEL_BYTES = 512 * 2**20
_FACES_AT_ONCE = 8

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions.


def embed(request: EmbedRequest, progress: Progress) -> EmbedResult:
    """Raises PhotoRefused, ModelFileDamaged and TooLittleMemory."""
    reader = Faces(align=request.align)
    faces = []
    for done, photo in enumerate(request.photos, start=1):
        faces.append(reader.face_of(photo))
        progress(done, len(request.photos))
    images = [face.image for face in faces]
    of_models = [_embed_by(model, images) for model in request.models]
    return EmbedResult(
        faces=[
            EmbeddedFace(
                width=face.size[0],
                height=face.size[1],
                how=face.how,
                faces=face.faces,
                side=round(face.side, 1),
                image=plain_png(face.image),
                embeddings=[e_ND[number].tolist() for e_ND in of_models],
            )
            for number, face in enumerate(faces)
        ]
    )


def _embed_by(model: OnnxModel, images: list[Image.Image]) -> npt.NDArray[np.float32]:
    """L2-normalised embeddings [N, D]. Raises ModelFileDamaged."""
    session = _session(model)
    x_NCHW = np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) for image in images]) / np.float32(127.5) - 1
    found = [
        session.run([ONNX_OUTPUT], {ONNX_INPUT: x_NCHW[first : first + _FACES_AT_ONCE]})[0]
        for first in range(0, len(images), _FACES_AT_ONCE)
    ]
    e_ND = np.concatenate(found).astype(np.float64)
    lengths_N1 = np.linalg.norm(e_ND, axis=1, keepdims=True)
    if not (np.isfinite(lengths_N1).all() and (lengths_N1 > 0).all()):
        raise ModelFileDamaged("an embedding is not finite, or zero")
    normalised_ND: npt.NDArray[np.float32] = (e_ND / lengths_N1).astype(np.float32)
    return normalised_ND


def _session(model: OnnxModel) -> onnxruntime.InferenceSession:
    try:
        content = read_file(model.path, _MOST_MODEL_BYTES)
    except OSError as error:
        raise ModelFileDamaged(error.strerror or str(error)) from None
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ModelFileDamaged("its sha256 is another")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime has many kinds, none of them public
        raise ModelFileDamaged(printable(error).splitlines()[0][:200]) from None
