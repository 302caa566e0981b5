"""The backbone as an ONNX file: the format's facts, and the event that has the file."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.finetune.checkpoint import WrittenFile
from app.finetune.event_data import EventData

OPSET = 17
"""Of the ONNX files: the first with LayerNormalization."""

ONNX_INPUT, ONNX_OUTPUT = "face", "embedding"
"""float32 [N, 3, 112, 112], RGB in [-1, 1]; float32 [N, 512], not L2-normalised. N is any number."""

LEAST_COSINE = 0.999999
"""The least cosine between the embeddings of a face by PyTorch and by ONNX Runtime with which a file is kept."""

LICENCE = (
    "Made from EdgeFace weights. The official EdgeFace weights (Idiap Research Institute) are licensed under "
    "CC BY-NC-SA 4.0: for a model made from them, the same licence holds."
)


@dataclass(frozen=True)
class ModelExportStarted(EventData):
    """A job of its own has read the weights that it writes as an ONNX file."""

    weights_sha256: Annotated[str, Field(description="Of the weights file.")]
    variant: Annotated[str, Field(description="Architecture of the backbone.")]


@dataclass(frozen=True, kw_only=True)
class ModelExported(EventData):
    """The backbone is written as an ONNX file, and was compared with PyTorch."""

    file: Annotated[WrittenFile, Field(description="edgeface.onnx.")]
    weights_sha256: Annotated[str, Field(description="Of the weights file that the backbone was read from.")]
    variant: Annotated[str, Field(description="Architecture of the backbone.")]
    opset: Annotated[int, Field(description="Version of the ONNX operators.")]
    faces: Annotated[int, Field(description="The number of faces that were compared.")]
    worst_cosine: Annotated[
        float, Field(description="Between the embeddings of a face by PyTorch and by ONNX Runtime, the lowest.")
    ]
    mean_cosine: Annotated[float, Field(description="The same, the mean.")]
    seconds: Annotated[float, Field(description="To export, compare and write.")]
