"""What the student is told of a face: the same however the batch is divided, and least where it sees what the teacher
sees."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worker.training.objectives.distillation import distil

# As alike as faces are: the teacher's targets are soft.
TEACHERS = F.normalize(torch.randn(12, 512, generator=torch.Generator().manual_seed(0)) + torch.full((512,), 1.5))
LEARNED = 1.3 * (TEACHERS + 0.01 * torch.randn(12, 512, generator=torch.Generator().manual_seed(2)))


def faces(count: int, seed: int, length: float = 1.0) -> Tensor:
    return length * F.normalize(torch.randn(count, 512, generator=torch.Generator().manual_seed(seed)))


def test_by_definition() -> None:
    """Against the formula, a face at a time."""
    e, person, expected = faces(3, 1), torch.tensor([0, 5, 11]), 0.0
    for i in range(3):
        wanted = torch.softmax(TEACHERS[person[i]] @ TEACHERS.T / 0.1, 0)
        seen = torch.stack([F.cosine_similarity(e[i], learned, dim=0) for learned in LEARNED])
        expected -= float((wanted * torch.log_softmax(seen / 0.1, 0)).sum())
    assert float(distil(e, person, LEARNED, TEACHERS, 0.1).loss) == pytest.approx(expected, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(1, 8), st.floats(0.1, 50), st.integers(0, 2**31))
def test_dividing_a_batch_changes_nothing_and_only_the_direction_counts(
    count: int, cut: int, length: float, seed: int
) -> None:
    e, person = faces(count, seed, length), torch.arange(count) % 12
    whole = distil(e, person, LEARNED, TEACHERS, 0.05)
    parts = [distil(e[part], person[part], LEARNED, TEACHERS, 0.05) for part in (slice(0, cut), slice(cut, None))]
    assert float(sum(part.loss for part in parts)) == pytest.approx(float(whole.loss), rel=1e-5)
    assert sum(int(part.correct) for part in parts) == int(whole.correct)
    assert float(distil(faces(count, seed), person, LEARNED, TEACHERS, 0.05).loss) == pytest.approx(
        float(whole.loss), rel=1e-4
    )


def test_a_face_that_is_its_person_has_the_least_loss_and_counts_as_right() -> None:
    person, e = torch.arange(12), TEACHERS.clone().requires_grad_()
    found = distil(e, person, TEACHERS, TEACHERS, 0.05)
    assert int(found.correct) == 12
    (gradient,) = torch.autograd.grad(found.loss, e)
    assert float(gradient.norm(dim=1).max()) < 1e-3
    moved = TEACHERS + 0.02 * torch.randn(12, 512, generator=torch.Generator().manual_seed(3))
    assert float(distil(moved, person, TEACHERS, TEACHERS, 0.05).loss) > found.loss.item()


def test_in_float32_whatever_autocast_does() -> None:
    e, person = faces(4, 1), torch.tensor([0, 1, 2, 3])
    expected = distil(e, person, TEACHERS, TEACHERS, 0.05).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distil(e, person, TEACHERS, TEACHERS, 0.05).loss, expected)
