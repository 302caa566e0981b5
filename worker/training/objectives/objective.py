"""What is learned from the faces at some places of an epoch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FACES_OF_EACH
from worker.training.data.loader import embed_faces, labels_at, views_at
from worker.training.data.multi_scale import AS_GIVEN, DrawnViews
from worker.training.loop.context import Course
from worker.training.loop.epoch import RunningEpoch
from worker.training.loop.state import Training
from worker.training.objectives.distillation import distil
from worker.training.objectives.teacher import Teaching

# Shape suffixes: M faces, those of a part of a batch, S subjects, D = 512 dimensions.

Embeddings = Callable[[slice], Tensor]
"""Places of the running epoch -> embeddings [M, 512] of the augmented faces there."""


@dataclass(frozen=True)
class PartLoss:
    """Sums over the faces: of the loss, and of those classified rightly."""

    loss: Tensor
    correct: Tensor


def part_loss(
    course: Course, training: Training, running: RunningEpoch, embeddings: Embeddings, places: slice
) -> PartLoss:
    """ArcFace on `embeddings`; in an epoch of views what the teacher says of them."""
    labels_M = labels_at(course, running, places)
    if running.views is not None:
        assert course.teaching is not None and training.people is not None, "views are of people"  # noqa: S101
        e_MD = embed_faces(course, training.backbone, views_at(course, running, places))
        person_M = people_of(course.teaching, running.views.at(places), labels_M)
        distilled = distil(
            e_MD, person_M, training.people, course.teaching.people_PD, course.config.contrastive_temperature
        )
        return PartLoss(distilled.loss, distilled.correct)
    logits_MS, cosine_logits_MS = training.head(embeddings(places), labels_M)
    loss_sum = F.cross_entropy(logits_MS, labels_M, label_smoothing=course.config.label_smoothing, reduction="sum")
    return PartLoss(loss_sum, (cosine_logits_MS.argmax(1) == labels_M).sum())


def people_of(teaching: Teaching, views: DrawnViews, labels_M: Tensor) -> Tensor:
    """The numbers [M] of the people that the views show."""
    invented_M = views.invented_B.to(labels_M.device)
    return torch.where(invented_M == AS_GIVEN, teaching.invented_people + labels_M, invented_M // FACES_OF_EACH)
