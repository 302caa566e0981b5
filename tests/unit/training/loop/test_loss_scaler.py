"""Steps whose gradients overflow are skipped and counted, and the learning rates do not advance for them."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.pretended_gpu import pretended_gpu
from tests.unit.training.support import tiny_config
from worker.training.loop.optimizers import Optimizers, backbone_and_head, head_alone

MOST = 10
Overflows = list[bool]


def train(model: nn.Linear, optimizers: Optimizers, overflows: Sequence[bool], looks: int = 1) -> int:
    """A step for each of `overflows`; skipped steps are counted after every `looks` steps. Returns their number."""
    skipped = 0
    for step, overflow in enumerate(overflows, start=1):
        optimizers.zero_grad()
        loss = (model(torch.ones(3, device=model.weight.device)) ** 2).sum() * (torch.inf if overflow else 1)
        scaled = optimizers.scaler.scale(loss)
        for parameter, gradient in zip(
            model.parameters(), torch.autograd.grad(scaled, list(model.parameters())), strict=True
        ):
            parameter.grad = gradient
        optimizers.step()
        if step % looks == 0:
            skipped += optimizers.count_skipped()
    return skipped


def new_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def constant_rates(model: nn.Linear) -> Optimizers:
    device = model.weight.device.type
    return head_alone(model.parameters(), tiny_config(head_lr=0.1), scale=1.0, device=device, scaled=True)


def falling_rates(model: nn.Linear, warmup: float) -> Optimizers:
    config = tiny_config(backbone_lr=0.1, warmup=warmup)
    return backbone_and_head(
        model, [nn.Parameter(torch.ones(1))], config, steps=4 * MOST, scale=1.0, device="cpu", scaled=True
    )


@settings(max_examples=20, deadline=None)
@given(overflows=st.lists(st.booleans(), max_size=MOST))
def test_a_step_that_overflows_changes_nothing(overflows: Overflows) -> None:
    model, expected = new_model(), new_model()
    skipped = train(model, optimizers := constant_rates(model), overflows)
    train(expected, constant_rates(expected), [False] * overflows.count(False))
    assert skipped == sum(overflows)
    assert torch.equal(model.weight, expected.weight)
    if overflows:
        assert optimizers.scaler.factor == 2.0 ** (8 - skipped), "it starts at 2**8, and each overflow halves it"


@pytest.mark.parametrize("warmup", [0.0, 0.5])
@settings(max_examples=20, deadline=None)
@given(overflows=st.lists(st.booleans(), max_size=MOST), looks=st.integers(1, 3), saves=st.booleans())
def test_the_rates_fall_by_the_steps_that_were_not_skipped(
    warmup: float, overflows: Overflows, looks: int, saves: bool
) -> None:
    drains = [False] * (sum(overflows) + looks)
    drains += [False] * (-(len(overflows) + len(drains)) % looks)
    model, expected = new_model(), new_model()
    optimizers, without = falling_rates(model, warmup), falling_rates(expected, warmup)
    train(model, optimizers, overflows, looks=1 if saves else looks)
    if saves:  # a state is saved where skipped steps are counted, but not given back
        saved = optimizers.state_dict()
        optimizers = falling_rates(model, warmup)
        optimizers.load_state_dict(saved)
    train(model, optimizers, drains, looks=1 if saves else looks)
    train(expected, without, [False] * (overflows.count(False) + len(drains)))
    assert optimizers.rates == pytest.approx(without.rates)


def test_no_step_waits_for_a_gpu() -> None:
    with pretended_gpu() as gpu:
        model = new_model().to("cuda")
        optimizers = constant_rates(model)
        gpu.waits.clear()
        train(model, optimizers, [False, True, True, False, True], looks=MOST)
        assert not gpu.waits
        assert optimizers.count_skipped() == 3


def test_without_loss_scaling_no_step_is_skipped() -> None:
    model = new_model()
    optimizers = head_alone(model.parameters(), tiny_config(), scale=1.0, device="cpu", scaled=False)
    assert train(model, optimizers, [False, True]) == 0
    assert model.weight.isnan().all()
