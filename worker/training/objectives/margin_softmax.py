"""Cross-entropy over cosine logits with a margin on each face's own class: ArcFace, CosFace and their kin."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch.nn.functional as F
from torch import Tensor, linalg, nn

from worker.training.data.loader import Batch
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.objective import Loss, Model

# Shape suffixes: B faces, D embedding dimensions, S classes.


@dataclass(frozen=True)
class TargetAngle:
    """The angle between each embedding and the weight of its own class.

    `cosine_B1` and `sine_B1` [B, 1] are of that angle, in 0..pi; `e_BD` [B, D] are the embeddings before normalisation,
    for margins that depend on their length.
    """

    cosine_B1: Tensor
    sine_B1: Tensor
    e_BD: Tensor


class Margin(Protocol):
    """Makes the own class harder to win. A new margin is one class with this method."""

    def __call__(self, target: TargetAngle) -> Tensor:
        """The cosine [B, 1] that replaces the own class's cosine in the logits."""


class MarginSoftmax:
    """The `Objective` of a `classifier` that trains with a `margin`. `label_smoothing` in [0, 1)."""

    def __init__(self, classifier: CosineClassifier, margin: Margin, label_smoothing: float = 0.0) -> None:
        self.classifier = classifier
        self.margin = margin
        self.label_smoothing = label_smoothing

    def __call__(self, model: Model, batch: Batch) -> Loss:
        labels_B = batch.labels_B
        logits_BS, cosine_logits_BS = self.logits(model(batch.inputs), labels_B)
        loss = F.cross_entropy(logits_BS, labels_B, label_smoothing=self.label_smoothing, reduction="sum")
        return Loss(loss, (cosine_logits_BS.argmax(1) == labels_B).sum())

    def logits(self, e_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D] of any length, class ids [B] in 0..S-1 -> logits [B, S] with the margin, and without."""
        cosine_BS, unit_BD, w_SD = self.classifier(e_BD)
        target_B1 = labels_B[:, None]
        cosine_B1 = cosine_BS.gather(1, target_B1)
        # sqrt(1 - cos^2) has an infinite slope at cos = +-1. The length of the component orthogonal to the class weight
        # is the same number, exact for small angles, and its gradient is never longer than one.
        orthogonal_BD = unit_BD - cosine_B1 * w_SD[labels_B]
        sine_B1 = linalg.vector_norm(orthogonal_BD, dim=1, keepdim=True)
        with_margin_B1 = self.margin(TargetAngle(cosine_B1, sine_B1, e_BD))
        scale = self.classifier.scale
        return scale * cosine_BS.scatter(1, target_B1, with_margin_B1), scale * cosine_BS.detach()

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.classifier.parameters()

    def state_dict(self) -> dict[str, Any]:
        return {"head": dict(self.classifier.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.classifier.load_state_dict(state["head"], strict=True)
