"""The faces of photos and their embeddings, as a task for a limited child."""

import base64
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from app.finetune.training_errors import TooLittleMemory
from app.isolated.task import AnyPath, FileRequest, Limits, Task
from app.recognition.errors import ModelFileDamaged, PhotoRefused

MIB = 2**20

SMALL_CROP = 40
"""Pixels. An image whose longer side is shorter is taken as a face that is cropped already: detectors miss most faces
in it."""

MOST_PHOTOS = 50
"""In one request."""

MOST_PHOTO_PIXELS = 2**25
"""34 million."""

How = Literal["aligned", "enlarged", "as_given"]


def _decode(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("not bytes")
    return base64.b64decode(value, validate=True)


Base64 = Annotated[bytes, PlainValidator(_decode), PlainSerializer(lambda value: base64.b64encode(value).decode())]


class Photo(BaseModel):
    """`name` is what errors call it."""

    model_config = ConfigDict(frozen=True)

    name: str
    content: Base64


class OnnxModel(BaseModel):
    """An ONNX file of app/finetune/model_export.py, and its sha256."""

    model_config = ConfigDict(frozen=True)

    path: AnyPath
    sha256: str


class EmbedRequest(FileRequest):
    """Embed the face of each photo by each model. With `align` faces are found and aligned, except in small crops;
    without, each photo is a face that is cropped already. `path` is what errors of the child as a whole name."""

    photos: tuple[Photo, ...] = Field(max_length=MOST_PHOTOS + 1)
    models: tuple[OnnxModel, ...] = Field(max_length=2)
    align: bool = True


class EmbeddedFace(BaseModel):
    """The face of one photo. `width` and `height` are those of the photo; `side` is what the square of the face
    measures in it, in pixels; `faces` is the number of faces that were found, 0 where none was looked for. `image` is
    the face as the models saw it, a PNG file of 112 x 112 pixels. `embeddings` are L2-normalised, one for each
    model."""

    width: int
    height: int
    how: How
    faces: int
    side: float
    image: Base64
    embeddings: list[list[float]]


class EmbedResult(BaseModel):
    faces: list[EmbeddedFace]


EMBED = Task(
    name="app.recognition.task:EMBED",
    run="app.recognition.reading:embed",
    request=EmbedRequest,
    result=EmbedResult,
    limits=Limits(
        memory_bytes=1024 * MIB,
        cpu_seconds=60,
        wall_seconds=60.0,
        written_file_bytes=2**16,  # what LiteRT prints: app/alignment/announcement.py
        answer_bytes=8 * MIB,
    ),
    errors=(PhotoRefused, ModelFileDamaged, TooLittleMemory),
    at_once=2,
    server="recognition",
)
