"""Distillation: the student learns the teacher's similarities between identities.

The teacher is the backbone with its initial weights on high-resolution faces; the student sees views of them at many
resolutions. The loss is the cross-entropy between the teacher's similarities of the face's identity to all identities
and the student's similarities of the face to all prototypes: soft targets, as in SEED (Fang et al., ICLR 2021,
arXiv:2101.04731, equation 3), but of identities in place of images. The teacher's embeddings are computed once, before
the first step. The prototypes start from them and train with the student.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.data.loader import Batch
from worker.training.objectives.objective import Loss, Model

# Shape suffixes: B faces, D = 512 dimensions, P identities: the synthetic ones, then the real ones of the train set.


class Distillation:
    """The `Objective` of a student. A batch's labels are identities, rows of the teacher's embeddings [P, 512].

    `teacher_PD` are L2-normalised; `temperature` > 0.
    """

    def __init__(self, teacher_PD: Tensor, temperature: float) -> None:
        self.teacher_PD = teacher_PD
        self.temperature = temperature
        self.prototypes = nn.Parameter(teacher_PD.clone())

    def __call__(self, model: Model, batch: Batch) -> Loss:
        return distil(model(batch.inputs), batch.labels_B, self.prototypes, self.teacher_PD, self.temperature)

    def parameters(self) -> Iterable[nn.Parameter]:
        return [self.prototypes]

    def state_dict(self) -> dict[str, Any]:
        return {"people": self.prototypes.detach()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.prototypes.copy_(state["people"])


def distil(e_BD: Tensor, identity_B: Tensor, prototypes_PD: Tensor, teacher_PD: Tensor, temperature: float) -> Loss:
    """The loss of embeddings [B, D] of any length, whose faces show these identities. In float32 under autocast too.

    `prototypes_PD` are the student's, of any length; `teacher_PD` the teacher's embeddings, L2-normalised.
    """
    with torch.autocast(e_BD.device.type, enabled=False):
        similarity_BP = F.normalize(e_BD.float()) @ F.normalize(prototypes_PD).T
        target_BP = (teacher_PD[identity_B] @ teacher_PD.T / temperature).softmax(1)
        loss = F.cross_entropy(similarity_BP / temperature, target_BP, reduction="sum")
        correct = (similarity_BP.detach().argmax(1) == identity_B).sum()
    return Loss(loss, correct)
