"""Forward and backward of a batch, whole and in microbatches, against PyTorch's own backward."""

import pytest
import torch
from torch import Tensor, nn

from worker.training.data.loader import Batch
from worker.training.loop.loss_scaler import LossScaler
from worker.training.loop.optimizers import Optimizers
from worker.training.loop.step import ForwardBackward
from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax
from worker.training.runtime.cpu_parallel import CpuParallel


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def arcface() -> MarginSoftmax:
    return MarginSoftmax(CosineClassifier(6, 4, 64.0, generator()), ArcFaceMargin(0.5), label_smoothing=0.1)


def optimizers(parameters: list[nn.Parameter]) -> Optimizers:
    return Optimizers(torch.optim.AdamW(parameters), LossScaler("cpu", enabled=False), None)


@pytest.mark.parametrize("micro_batch_size", [1, 3, 7, 10])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_gradients_are_those_of_the_mean_loss_however_the_batch_is_divided(
    micro_batch_size: int, threads: int
) -> None:
    torch.manual_seed(0)
    model, objective = nn.Linear(8, 6), arcface()
    parameters = [*model.parameters(), *objective.parameters()]
    batch = Batch(torch.randn(7, 8, generator=generator()), torch.arange(7) % 4)
    given: list[int] = []

    def noting(x: Tensor) -> Tensor:
        given.append(len(x))
        e: Tensor = model(x)
        return e

    forward_backward = ForwardBackward(
        noting, objective, optimizers(parameters), micro_batch_size, CpuParallel(threads)
    )
    losses = forward_backward(batch)
    found = [parameter.grad for parameter in parameters]
    assert sum(given) == 7
    assert max(given) <= micro_batch_size

    expected = objective(model, batch)
    gradients = torch.autograd.grad(expected.loss / 7, parameters)
    for ours, theirs in zip(found, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)  # summed in another order
    torch.testing.assert_close(torch.stack([loss.loss for loss in losses]).sum(), expected.loss.detach())
    assert sum(int(loss.correct) for loss in losses) == int(expected.correct)


def test_what_the_model_learns_needs_no_more_than_a_loop() -> None:
    """zero_grad, forward_backward, step: the loss of a batch that is shown again and again falls."""
    model, objective = nn.Linear(8, 6), arcface()
    parameters = [*model.parameters(), *objective.parameters()]
    optimizer = Optimizers(torch.optim.AdamW(parameters, lr=0.05), LossScaler("cpu", enabled=False), None)
    forward_backward = ForwardBackward(model, objective, optimizer, micro_batch_size=8)
    batch = Batch(torch.randn(8, 8, generator=generator()), torch.arange(8) % 4)
    totals = []
    for _ in range(30):
        optimizer.zero_grad()
        (loss,) = forward_backward(batch)
        totals.append(float(loss.loss))
        optimizer.step()
    assert totals[-1] < 0.5 * totals[0]
