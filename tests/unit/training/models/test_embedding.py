"""Embeddings for comparison."""

import pytest
import torch

from worker.training.models.edgeface import new_edgeface
from worker.training.models.embedding import embed


def test_embeddings_are_unit_vectors_whatever_the_batches_and_training_goes_on() -> None:
    backbone = new_edgeface("edgeface_xxs", seed=0).train()
    faces_u8 = torch.randint(256, (5, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.training.models.embedding._FACES_AT_ONCE", 2)
        in_batches = embed(backbone, faces_u8, torch.device("cpu"))
    e_ND = embed(backbone, faces_u8, torch.device("cpu"))
    torch.testing.assert_close(in_batches, e_ND, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(e_ND.norm(dim=1), torch.ones(5))
    assert backbone.training
