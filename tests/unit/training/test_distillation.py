"""What the student is told of a face: the same however the batch is divided, and least where it sees what the teacher
sees."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.finetune.config import FinetuneConfig
from worker.training.distillation import distil

from .support import tiny_config

PEOPLE = F.normalize(torch.randn(12, 512, generator=torch.Generator().manual_seed(0)))


def config(**changes: object) -> FinetuneConfig:
    return tiny_config(**{"recipe": "recommended", **changes})


def faces(count: int, seed: int, length: float = 1.0) -> Tensor:
    return length * F.normalize(torch.randn(count, 512, generator=torch.Generator().manual_seed(seed)))


def test_by_definition() -> None:
    """Against the formulas, a face at a time."""
    e, taught, person = faces(3, 1), faces(3, 2), torch.tensor([0, 5, 11])
    expected = 0.0
    for i in range(3):
        wanted = torch.softmax(PEOPLE[person[i]] @ PEOPLE.T / 0.1, 0)
        found = torch.log_softmax(e[i] @ PEOPLE.T / 0.1, 0)
        expected += float(1 - e[i] @ taught[i]) - 2 * float((wanted * found).sum())
    changes = {"contrastive_weight": 2.0, "contrastive_temperature": 0.1}
    both = distil(e, taught, person, PEOPLE, config(**changes))
    assert float(both.loss) == pytest.approx(expected, rel=1e-5)
    only_distance = distil(e, taught, person, PEOPLE, config(contrastive_weight=0.0))
    assert float(only_distance.loss) == pytest.approx(float((1 - (e * taught).sum(1)).sum()), rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(1, 8), st.floats(0.1, 50), st.integers(0, 2**31))
def test_dividing_a_batch_changes_nothing(count: int, cut: int, length: float, seed: int) -> None:
    e, taught = faces(count, seed, length), faces(count, seed + 1)
    person = torch.randint(12, (count,), generator=torch.Generator().manual_seed(seed))
    whole = distil(e, taught, person, PEOPLE, config())
    both = slice(0, cut), slice(cut, None)
    parts = [distil(e[part], taught[part], person[part], PEOPLE, config()) for part in both]
    assert float(sum(part.loss for part in parts)) == pytest.approx(float(whole.loss), rel=1e-5)
    assert sum(int(part.correct) for part in parts) == int(whole.correct)
    unit = distil(F.normalize(e), taught, person, PEOPLE, config())
    assert float(unit.loss) == pytest.approx(float(whole.loss), rel=1e-4), "only the direction counts"


def test_a_face_that_is_its_person_has_the_least_loss_and_counts_as_right() -> None:
    """Where the teacher sees the person in the face, no other direction is better."""
    person = torch.arange(12)
    e = PEOPLE.clone().requires_grad_()
    found = distil(e, PEOPLE, person, PEOPLE, config())
    assert int(found.correct) == 12
    (gradient,) = torch.autograd.grad(found.loss, e)
    assert gradient.norm(dim=1).max() < 1e-3
    moved = distil(PEOPLE + 0.02 * torch.randn(12, 512), PEOPLE, person, PEOPLE, config())
    assert moved.loss > found.loss


def test_in_float32_whatever_autocast_does() -> None:
    e, taught, person = faces(4, 1), faces(4, 2), torch.tensor([0, 1, 2, 3])
    expected = distil(e, taught, person, PEOPLE, config()).loss
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distil(e, taught, person, PEOPLE, config()).loss, expected)
