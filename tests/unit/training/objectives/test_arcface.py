"""ArcFace against float64 references, and where naive formulas give NaN."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax


def arcface(
    dimensions: int, classes: int, margin: float = 0.5, generator: torch.Generator | None = None
) -> MarginSoftmax:
    return MarginSoftmax(CosineClassifier(dimensions, classes, 64.0, generator), ArcFaceMargin(margin))


def arcface_towards(*weights: list[float]) -> MarginSoftmax:
    objective = arcface(len(weights[0]), len(weights))
    objective.classifier.weight.data = torch.tensor(weights)
    return objective


def reference_target_logit(theta: float, scale: float, margin: float) -> float:
    if theta <= math.pi - margin:
        return scale * math.cos(theta + margin)
    return scale * (-2 - math.cos(theta + margin))


@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5, 1.0])
def test_logits_are_those_of_a_float64_reference(margin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    objective = arcface(512, 40, margin, generator)
    e_BD = 3 * torch.randn(256, 512, generator=generator)
    labels_B = torch.randint(40, (256,), generator=generator)
    cosine_BS = F.normalize(e_BD.double()) @ F.normalize(objective.classifier.weight.double()).T
    theta_BS = cosine_BS.acos()
    theta_BS[range(256), labels_B] += margin
    torch.testing.assert_close(objective.logits(e_BD, labels_B)[0].double(), 64 * theta_BS.cos(), rtol=0, atol=1e-4)
    for cosine_logits_BS in (objective.logits(e_BD, labels_B)[1], objective.classifier.logits(e_BD)):
        torch.testing.assert_close(cosine_logits_BS.double(), 64 * cosine_BS, rtol=0, atol=1e-4)


@pytest.mark.parametrize("theta", [0.0, 1e-6, 1e-3, 1.0, math.pi / 2, math.pi - 0.51, math.pi - 0.49, 3.14, math.pi])
def test_every_angle_has_its_logit_and_a_finite_gradient(theta: float) -> None:
    objective = arcface_towards([1.0, 0.0], [0.0, -1.0])
    e_BD = torch.tensor([[math.cos(theta), math.sin(theta)]], requires_grad=True)
    logits, _ = objective.logits(e_BD, torch.tensor([0]))
    assert logits[0, 0].item() == pytest.approx(reference_target_logit(theta, 64.0, 0.5), abs=1e-3)
    F.cross_entropy(logits, torch.tensor([0])).backward()  # type: ignore[no-untyped-call]
    assert e_BD.grad is not None
    assert objective.classifier.weight.grad is not None
    assert e_BD.grad.isfinite().all()
    assert objective.classifier.weight.grad.isfinite().all()
    assert objective.classifier.weight.grad.abs().max() <= 2 * 64, (
        "the gradient is bounded by the scale, not by 1 / sin(theta)"
    )


def test_an_embedding_equal_to_its_weight_in_all_dimensions_has_a_finite_gradient() -> None:
    objective = arcface(512, 10, 0.5, torch.Generator().manual_seed(0))
    for sign in (1.0, -1.0):
        e_BD = (sign * objective.classifier.weight.detach()).clone().requires_grad_()
        objective.logits(e_BD, torch.arange(10))[0].sum().backward()  # type: ignore[no-untyped-call]
        assert e_BD.grad is not None
        assert e_BD.grad.isfinite().all()


def test_the_target_logit_falls_over_all_angles_without_a_jump() -> None:
    objective = arcface_towards([1.0, 0.0], [0.0, 1.0])
    theta = torch.linspace(0, math.pi, 20_001)
    logits = objective.logits(torch.stack([theta.cos(), theta.sin()], 1), torch.zeros(20_001, dtype=torch.int64))[0][
        :, 0
    ]
    steps = logits.diff()
    assert (steps <= 1e-4).all()
    assert steps.abs().max() < 0.02, "64 * sin(theta + m) * step is at most 0.01"


def test_the_loss_is_in_float32_under_autocast() -> None:
    objective = arcface(512, 10, 0.5, torch.Generator().manual_seed(0))
    e_BD = torch.randn(4, 512, generator=torch.Generator().manual_seed(1)).bfloat16()
    labels_B = torch.arange(4)
    with torch.autocast("cpu", torch.bfloat16):
        inside: Tensor = objective.logits(e_BD, labels_B)[0]
        accuracy_inside = objective.classifier.logits(e_BD)
    assert inside.dtype == accuracy_inside.dtype == torch.float32
    torch.testing.assert_close(inside, objective.logits(e_BD.float(), labels_B)[0], rtol=0, atol=0)


def test_the_gradient_is_that_of_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    objective = arcface(16, 5, 0.5, generator)
    e_BD = torch.randn(8, 16, generator=generator)
    labels_B = torch.randint(5, (8,), generator=generator)
    ours, reference = e_BD.clone().requires_grad_(), e_BD.double().requires_grad_()
    theta_BS = (F.normalize(reference) @ F.normalize(objective.classifier.weight.detach().double()).T).acos()
    F.cross_entropy(objective.logits(ours, labels_B)[0], labels_B).backward()  # type: ignore[no-untyped-call]
    F.cross_entropy(64 * (theta_BS + 0.5 * F.one_hot(labels_B, 5)).cos(), labels_B).backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert reference.grad is not None
    torch.testing.assert_close(ours.grad.double(), reference.grad, rtol=1e-3, atol=1e-4)
