"""Models that a person can try, and what they say about photos."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

Answer = Literal["same", "not", "too_close", "unknown"]

MARGIN = 0.02
"""A similarity that is this close to the threshold decides nothing."""


class ModelView(BaseModel):
    """Something that a training can start from and that a person can try."""

    id: str = Field(description="A weights name or `job:ID`, as in configs.")
    kind: Literal["weights", "job"]
    title: str
    network: str | None = Field(description="The EdgeFace variant, or `DSR`; null where the file was not read yet.")
    owner: str | None = Field(description="null for files of the weights folder.")
    made_from: str | None = Field(description="The weights that the job started from.")
    dataset: str | None = Field(description="The dataset, or the training folder, of the job.")
    recipe: str | None = Field(description="The recipe of the job.")
    verdict: str | None = Field(description="One sentence: whether recognition improved.")
    exported: bool = Field(description="Whether its ONNX file is there: without one, the first try waits for a job.")
    created_at: datetime | None = Field(description="The end of the job, or of the upload.")
    links: dict[str, str]


class ModelList(BaseModel):
    """Weights by name, then results of jobs, newest first."""

    models: list[ModelView]
    next_cursor: str | None = Field(description="Pass it as `cursor` to get further jobs; null on the last page.")


class ThresholdView(BaseModel):
    """At or above `value` two photos count as one person."""

    value: float = Field(description="A cosine, -1..1.")
    far: float | None = Field(description="The share of pairs of two people that it lets through, as measured.")
    dataset: str = Field(description="Where it was measured.")
    enlargement: str = Field(description="How the small faces were enlarged when it was measured.")
    vlr_sizes: list[str] = Field(description="The most frequent sizes of the small faces there.")


class TriedPhoto(BaseModel):
    """A photo and the face that the model saw in it."""

    name: str
    width: int
    height: int
    used: Literal["aligned", "enlarged", "as_given"] = Field(
        description="`aligned`: a face was found and warped to EdgeFace's template. `enlarged`: smaller than 40 px, so "
        "taken as a face that is cropped already, and enlarged bicubically. `as_given`: align=false."
    )
    side: float = Field(description="What the square of the face measures in the photo, in pixels.")
    face: str = Field(description="The face as the model saw it: a `data:` URL of a PNG image, 112 x 112.")


class Similarity(BaseModel):
    """The cosine of two faces by one model, and what it means."""

    similarity: float
    answer: Answer = Field(
        description="`same`: one person. `not`: two. `too_close`: within 0.02 of the threshold. `unknown`: no "
        "threshold."
    )


class Match(BaseModel):
    """A photo of the gallery beside the probe."""

    photo: TriedPhoto
    after: Similarity
    before: Similarity | None = Field(description="By the weights that the job started from.")


class ComparisonView(BaseModel):
    """The probe beside each photo of the gallery. The photos are not kept."""

    model: str
    before: str | None = Field(description="The weights that the job started from.")
    why_no_before: str | None = Field(description="Why there is nothing to compare with.")
    threshold: ThresholdView | None = Field(description="Of the model; null where no evaluation has one.")
    threshold_before: ThresholdView | None
    probe: TriedPhoto
    matches: list[Match] = Field(description="The most similar first.")
    sentence: str = Field(description="The answer in words.")


class Embedding(BaseModel):
    photo: TriedPhoto
    embedding: list[float] = Field(description="512 numbers, L2-normalised: a cosine is a dot product.")


class EmbeddingsView(BaseModel):
    """The embeddings of photos, in the order in which they were sent. The photos are not kept."""

    model: str
    embeddings: list[Embedding]
