"""Similarities and thresholds to answers."""

import base64
import math

from app.api_models.models import (
    MARGIN,
    Answer,
    ComparisonView,
    Embedding,
    EmbeddingsView,
    Match,
    Similarity,
    ThresholdView,
    TriedPhoto,
)
from app.models.ready import ReadyModel
from app.recognition.task import EmbeddedFace

_WORDS: dict[Answer, str] = {
    "same": "Same person",
    "not": "Not the same person",
    "too_close": "Too close to say",
    "unknown": "No threshold is known",
}


def compare(model: ReadyModel, names: list[str], faces: list[EmbeddedFace]) -> ComparisonView:
    """Compare the first face with each of the others. The embeddings are those of the model, then of the weights
    before."""
    probe, *gallery = faces
    before = model.before
    matches = [
        Match(
            photo=_photo(name, face),
            after=_similarity(probe, face, 0, model.after.threshold),
            before=None if before is None else _similarity(probe, face, 1, before.threshold),
        )
        for name, face in zip(names[1:], gallery, strict=True)
    ]
    matches.sort(key=lambda match: -match.after.similarity)
    return ComparisonView(
        model=model.after.weights.name,
        before=None if before is None else before.weights.name,
        why_no_before=model.why_no_before,
        threshold=model.after.threshold,
        threshold_before=None if before is None else before.threshold,
        probe=_photo(names[0], probe),
        matches=matches,
        sentence=_sentence(matches, model.after.threshold),
    )


def embeddings(model: ReadyModel, names: list[str], faces: list[EmbeddedFace]) -> EmbeddingsView:
    return EmbeddingsView(
        model=model.after.weights.name,
        embeddings=[
            Embedding(photo=_photo(name, face), embedding=face.embeddings[0])
            for name, face in zip(names, faces, strict=True)
        ],
    )


def _similarity(one: EmbeddedFace, other: EmbeddedFace, model: int, threshold: ThresholdView | None) -> Similarity:
    similarity = math.fsum(a * b for a, b in zip(one.embeddings[model], other.embeddings[model], strict=True))
    return Similarity(similarity=round(similarity, 6), answer=_answer(similarity, threshold))


def _answer(similarity: float, threshold: ThresholdView | None) -> Answer:
    if threshold is None:
        return "unknown"
    if abs(similarity - threshold.value) < MARGIN:
        return "too_close"
    return "same" if similarity > threshold.value else "not"


def _sentence(matches: list[Match], threshold: ThresholdView | None) -> str:
    best = matches[0]
    words = _WORDS[best.after.answer]
    if len(matches) > 1:
        ahead = best.after.similarity - matches[1].after.similarity
        words = f"{words}: {best.photo.name} is the most similar, {ahead:.3f} ahead of {matches[1].photo.name}"
    words += f". Similarity {best.after.similarity:.3f}"
    if threshold is None:
        return f"{words}; no evaluation of the model says from which similarity on two photos count as one person."
    words += f"; from {threshold.value:.3f} on two photos count as one person"
    if threshold.far is not None:
        words += f", and {100 * threshold.far:.2g} in 100 pairs of two people do too"
    return f"{words}."


def _photo(name: str, face: EmbeddedFace) -> TriedPhoto:
    return TriedPhoto(
        name=name,
        width=face.width,
        height=face.height,
        used=face.how,
        side=face.side,
        face=f"data:image/png;base64,{base64.b64encode(face.image).decode()}",
    )
