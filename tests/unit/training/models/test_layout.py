"""Convolutions on a GPU lie in a layout that cuDNN has kernels for."""

import io
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.finetune.architectures import DsrLayout
from tests.pretended_gpu import pretended_gpu
from tests.pretended_gpu.state import active
from tests.unit.training.support import write_untrained
from worker.training.loop.loss_scaler import LossScaler
from worker.training.loop.optimizers import Optimizers
from worker.training.models.dsr import DSR
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.models.embedding import embed, embed_faces
from worker.training.models.layout import (
    in_a_layout_with_kernels,
    is_contiguous,
    lay_out,
    lay_out_contiguously,
    layout_warnings,
)
from worker.training.runtime.device import FLOAT32, Precision
from worker.training.runtime.device_errors import lacks_kernel
from worker.training.runtime.microbatches import add_gradients
from worker.training.storage.atomic import saved_bytes
from worker.training.super_resolution.state import DsrTrainState

GPU = torch.device("cuda:0")
NO_ENGINE = RuntimeError("GET was unable to find an engine to execute this computation")


def faces(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1


def gradients(edgeface: EdgeFace, x_BCHW: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(F.normalize(edgeface(x_BCHW)).pow(3).sum(), list(edgeface.parameters()))


def layouts_of_convolutions(edgeface: EdgeFace) -> set[bool]:
    """Whether the maps that its convolutions take are contiguous, in a forward pass."""
    found = set()
    for module in edgeface.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, __: found.add(inputs[0].is_contiguous()))
    edgeface(faces().to(GPU))
    return found


@pytest.mark.parametrize(("capability", "contiguous"), [((6, 0), True), ((7, 5), True), ((8, 0), False)])
def test_the_layout_follows_the_capability(tmp_path: Path, capability: tuple[int, int], contiguous: bool) -> None:
    with pretended_gpu(capability=capability), torch.no_grad():
        edgeface, _ = load_edgeface(write_untrained(tmp_path / "untrained.pt"), GPU)
        assert is_contiguous(edgeface) == contiguous
        assert (layouts_of_convolutions(edgeface) == {True}) == contiguous
        assert layout_warnings(edgeface, GPU) == [], "a rule is nothing to warn of"


def test_a_kernel_that_is_missing_in_the_backward_pass_costs_the_layout_not_the_step(tmp_path: Path) -> None:
    weights = write_untrained(tmp_path / "untrained.pt")
    expected = gradients(load_edgeface(weights)[0], faces())
    with pretended_gpu() as gpu:
        edgeface, _ = load_edgeface(weights, GPU)
        gpu.fail(NO_ENGINE, operation="convolution_backward")
        found = in_a_layout_with_kernels(edgeface, lambda: gradients(edgeface, faces().to(GPU)))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-5)
        assert layouts_of_convolutions(edgeface) == {True}
        assert [warning.code for warning in layout_warnings(edgeface, GPU)] == ["layout_contiguous"]
        gpu.fail(NO_ENGINE, operation="convolution_backward")
        with pytest.raises(RuntimeError, match="unable to find an engine"):
            in_a_layout_with_kernels(edgeface, lambda: gradients(edgeface, faces().to(GPU)))


def test_a_kernel_that_is_missing_in_an_embedding(tmp_path: Path) -> None:
    faces_u8_NCHW = torch.randint(0, 256, (3, 3, 112, 112), dtype=torch.uint8)
    weights = write_untrained(tmp_path / "untrained.pt")
    expected_ND = embed(load_edgeface(weights)[0], faces_u8_NCHW, torch.device("cpu"))
    with pretended_gpu() as gpu:
        edgeface, _ = load_edgeface(weights, GPU)
        gpu.fail(NO_ENGINE, operation="conv")
        torch.testing.assert_close(embed(edgeface, faces_u8_NCHW, GPU).cpu(), expected_ND)
        gradients(edgeface, faces().to(GPU))  # the weights can still train


def test_of_two_networks_the_one_that_is_left_gives_way_too() -> None:
    first, second = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    with pretended_gpu() as gpu:
        networks = nn.ModuleList([first, second]).to(GPU)
        lay_out_contiguously(networks[0])
        gpu.fail(NO_ENGINE, operation="conv")
        in_a_layout_with_kernels(networks, lambda: networks[1](torch.ones(1, 1, 2, 2, device=GPU)))
        assert is_contiguous(networks)


def test_another_error_is_raised(tmp_path: Path) -> None:
    assert not lacks_kernel(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pretended_gpu() as gpu:
        edgeface, _ = load_edgeface(write_untrained(tmp_path / "untrained.pt"), GPU)
        gpu.fail(RuntimeError("CUDA error: an illegal memory access was encountered"), operation="conv")
        with pytest.raises(RuntimeError, match="illegal"):
            embed_faces(edgeface, faces().to(GPU), FLOAT32)
        assert not is_contiguous(edgeface)


@pytest.mark.parametrize(
    "precision",
    [Precision("bf16", torch.bfloat16, scaled=False), Precision("fp16", torch.float16, scaled=True)],
    ids=["bf16", "fp16"],
)
@torch.no_grad()
def test_on_a_gpu_the_same_products_are_in_16_bits_as_on_a_cpu(tmp_path: Path, precision: Precision) -> None:
    weights = write_untrained(tmp_path / "untrained.pt")
    expected_BD = embed_faces(load_edgeface(weights)[0], faces(), precision)
    assert not torch.equal(expected_BD, embed_faces(load_edgeface(weights)[0], faces(), FLOAT32))
    with pretended_gpu():
        found_BD = embed_faces(load_edgeface(weights, GPU)[0], faces().to(GPU), precision)
        assert torch.equal(found_BD.cpu(), expected_BD)


def optimizer_of(training: str, dsr: DSR) -> torch.optim.Adam:
    if training == "dsr":
        return DsrTrainState(dsr, torch.optim.Adam(dsr.parameters(), lr=0.01, fused=True), 1).optimizer
    adamw = torch.optim.AdamW(dsr.parameters(), lr=0.01, fused=True)
    return Optimizers(adamw, LossScaler("cpu", enabled=False), None).optimizer


def trained(training: str, saved: bytes | None, steps: range, *, missing_kernel: bool = False) -> tuple[Tensor, bytes]:
    """The weights after training in the layout of the GPU, from a saved state on, and the state."""
    dsr = DSR(DsrLayout(channels=4, blocks=1, factors=(2,), prelu_parameters=1)).to(GPU)
    lay_out(dsr, GPU)
    optimizer = optimizer_of(training, dsr)
    if saved is not None:
        state = torch.load(io.BytesIO(saved), weights_only=True)
        dsr.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    weights = list(dsr.parameters())
    for step in steps:
        if missing_kernel and step == steps[-1]:
            active().fail(NO_ENGINE, operation="conv")
        x_NCHW = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step)).to(GPU)
        optimizer.zero_grad()
        loss_gradients = partial(lambda x: torch.autograd.grad(dsr(x).square().mean(), weights), x_NCHW)
        add_gradients(weights, in_a_layout_with_kernels(dsr, loss_gradients))
        optimizer.step()
    of_network = {name: weight.cpu() for name, weight in dsr.state_dict().items()}
    all_weights = torch.cat([weight.flatten() for weight in of_network.values()])
    return all_weights, bytes(saved_bytes({"network": of_network, "optimizer": optimizer.state_dict()}))


@pytest.mark.parametrize("training", ["dsr", "fine-tuning"])
@pytest.mark.parametrize("change", ["missing kernel", "resumed before Ampere", "resumed on Ampere"])
def test_a_training_continues_in_another_layout_as_in_its_own(training: str, change: str) -> None:
    first, second = ((7, 5), (8, 0)) if change == "resumed on Ampere" else ((8, 0), (7, 5))
    torch.manual_seed(0)
    with pretended_gpu(capability=first):
        _, saved = trained(training, None, range(3))
        expected, _ = trained(training, saved, range(3, 6))
        if change == "missing kernel":
            found, _ = trained(training, saved, range(3, 6), missing_kernel=True)
    if change != "missing kernel":
        with pretended_gpu(capability=second):
            found, _ = trained(training, saved, range(3, 6))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
