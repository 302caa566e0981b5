"""The sum of the gradients of microbatches, however each gradient lies in memory."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.pretended_gpu import pretended_gpu
from worker.training.models.edgeface import new_edgeface
from worker.training.runtime.microbatches import add_gradients

LAYOUTS = ("as the parameter", "transposed", "expanded", "strides of size 1")


def gradient_of(parameter: nn.Parameter, layout: str, generator: torch.Generator) -> Tensor:
    if layout == "expanded":
        return torch.rand((), generator=generator).expand(parameter.shape)
    gradient = torch.rand(parameter.shape, generator=generator)
    if layout == "transposed":
        return gradient.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "strides of size 1":
        strides = [7 if size == 1 else stride for size, stride in zip(gradient.shape, gradient.stride(), strict=True)]
        return gradient.as_strided(gradient.shape, strides)
    return gradient


@settings(max_examples=30, deadline=None)
@given(
    layouts=st.lists(st.sampled_from(LAYOUTS), min_size=3, max_size=3),
    channels_last=st.booleans(),
    shared=st.booleans(),
    microbatches=st.integers(1, 3),
)
def test_gradients_add_up_in_the_layout_of_the_parameters(
    layouts: list[str], channels_last: bool, shared: bool, microbatches: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    parameters = [nn.Parameter(torch.rand(4, size, 3, 3).to(memory_format=memory_format)) for size in (1, 2, 2)]
    expected = [torch.zeros(parameter.shape) for parameter in parameters]
    for _ in range(microbatches):
        gradients = [gradient_of(each, layout, generator) for each, layout in zip(parameters, layouts, strict=True)]
        if shared:  # as autograd gives the gradients of a sum's two terms
            gradients[2] = gradients[1]
        expected = [total + gradient for total, gradient in zip(expected, gradients, strict=True)]
        add_gradients(parameters, gradients)
    for parameter, total in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        assert parameter.grad.stride() == parameter.stride()
        assert torch.equal(parameter.grad, total)


def test_a_gpu_adds_the_gradients_of_a_network_in_few_operations() -> None:
    with pretended_gpu() as gpu:
        network = new_edgeface("edgeface_xxs", 0).to("cuda").train()
        parameters, x_BCHW = list(network.parameters()), torch.zeros(2, 3, 112, 112, device="cuda")
        counts = []
        for _ in range(2):
            gradients = torch.autograd.grad(network(x_BCHW).sum(), parameters)
            before = gpu.operations.copy()
            add_gradients(parameters, gradients)
            counts.append((gpu.operations - before).total())
    assert len(parameters) > 150
    first, second = counts
    assert first <= 10
    assert second <= first + 1
