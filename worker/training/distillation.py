"""What the untouched backbone sees in a large face, the student is to see in a small one.

Two losses. 1 - cosine to the teacher's embedding of the same face's HR image; and, since to recognise is to tell people
apart, the cross-entropy between how similar the teacher finds the face's person to all people and how similar the
student finds the face to them: soft targets, as in SEED (Fang et al., ICLR 2021, arXiv:2101.04731, equation 3), but
people in place of single images. All that the teacher says is known before the first step, and a face's loss depends on
no other face of its batch.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FinetuneConfig

# Shape suffixes: B faces, D = 512 dimensions, P people: the invented ones, then the real ones of the train set.


@dataclass(frozen=True)
class Distillation:
    """Sums over the faces: of the weighted loss, and of those whose most similar person is their own."""

    loss: Tensor
    correct: Tensor


def distil(
    e_BD: Tensor, taught_BD: Tensor, person_B: Tensor, people_PD: Tensor, config: FinetuneConfig
) -> Distillation:
    """Embeddings of views, of any length; the teacher's of the same faces, the persons' numbers, and the teacher's of
    all people, L2-normalised. In float32 whatever autocast does."""
    with torch.autocast(e_BD.device.type, enabled=False):
        e_BD = F.normalize(e_BD.float())
        similarity_BP = e_BD @ people_PD.T
        loss = (1 - (e_BD * taught_BD).sum(1)).sum()
        if config.contrastive_weight:
            wanted_BP = (people_PD[person_B] @ people_PD.T / config.contrastive_temperature).softmax(1)
            found_BP = similarity_BP / config.contrastive_temperature
            loss = loss + config.contrastive_weight * F.cross_entropy(found_BP, wanted_BP, reduction="sum")
        correct = (similarity_BP.detach().argmax(1) == person_B).sum()
    return Distillation(loss, correct)
