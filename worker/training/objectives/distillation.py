"""What the untouched backbone says of a person's large faces, the student is to say of each small one.

The loss is the cross-entropy between how similar the teacher finds the face's person to all people and how similar the
student finds the face to them: soft targets, as in SEED (Fang et al., ICLR 2021, arXiv:2101.04731, equation 3), but of
people in place of images. All that the teacher says is known before the first step, and a face's loss depends on no
other face of its batch. What the student's people are is learned with it, from what the teacher says of them.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FACES_OF_EACH
from worker.training.data.multi_scale import AS_GIVEN, DrawnViews
from worker.training.objectives.teacher import TeacherTargets

# Shape suffixes: B faces, D = 512 dimensions, P people: the invented ones, then the real ones of the train set.


@dataclass(frozen=True)
class Distillation:
    """Sums over the faces: of the loss, and of those whose most similar person is their own."""

    loss: Tensor
    correct: Tensor


def distil(
    e_BD: Tensor, person_B: Tensor, prototypes_PD: Tensor, teacher_PD: Tensor, temperature: float
) -> Distillation:
    """Embeddings of views and the student's of all people, of any length; which people the views show; and the
    teacher's embeddings of all people, L2-normalised. In float32 whatever autocast does."""
    with torch.autocast(e_BD.device.type, enabled=False):
        similarity_BP = F.normalize(e_BD.float()) @ F.normalize(prototypes_PD).T
        wanted_BP = (teacher_PD[person_B] @ teacher_PD.T / temperature).softmax(1)
        loss = F.cross_entropy(similarity_BP / temperature, wanted_BP, reduction="sum")
        correct = (similarity_BP.detach().argmax(1) == person_B).sum()
    return Distillation(loss, correct)


def people_of(targets: TeacherTargets, views: DrawnViews, labels_M: Tensor) -> Tensor:
    """The numbers [M] of the people that the views show."""
    invented_M = views.invented_B.to(labels_M.device)
    return torch.where(invented_M == AS_GIVEN, targets.invented_people + labels_M, invented_M // FACES_OF_EACH)
