"""What is learned from the faces at some places of an epoch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from worker.training.data.loader import labels_at, views_at
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.state import TrainState
from worker.training.models.embedding import embed_faces
from worker.training.objectives.distillation import distil, people_of

# Shape suffixes: M faces, those of a part of a batch, S subjects, D = 512 dimensions.

Embeddings = Callable[[slice], Tensor]
"""Places of the running epoch -> embeddings [M, 512] of the augmented faces there."""


@dataclass(frozen=True)
class PartLoss:
    """Sums over the faces: of the loss, and of those classified rightly."""

    loss: Tensor
    correct: Tensor


def part_loss(
    context: RunContext, state: TrainState, epoch_state: EpochState, embeddings: Embeddings, places: slice
) -> PartLoss:
    """ArcFace on `embeddings`; in an epoch of views what the teacher says of them."""
    labels_M = labels_at(context, epoch_state, places)
    if epoch_state.views is not None:
        assert context.targets is not None and state.prototypes is not None, "views are of people"  # noqa: S101
        e_MD = embed_faces(state.backbone, views_at(context, epoch_state, places), context.precision)
        person_M = people_of(context.targets, epoch_state.views.at(places), labels_M)
        distilled = distil(
            e_MD, person_M, state.prototypes, context.targets.prototypes_PD, context.config.contrastive_temperature
        )
        return PartLoss(distilled.loss, distilled.correct)
    logits_MS, cosine_logits_MS = state.head(embeddings(places), labels_M)
    loss_sum = F.cross_entropy(logits_MS, labels_M, label_smoothing=context.config.label_smoothing, reduction="sum")
    return PartLoss(loss_sum, (cosine_logits_MS.argmax(1) == labels_M).sum())
