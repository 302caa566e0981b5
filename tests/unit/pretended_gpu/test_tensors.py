"""A pretended GPU refuses and counts what a GPU refuses and waits for."""

import copy
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from tests.pretended_gpu import PretendedGpu, pretended_gpu


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu(gpus=2) as gpu:
        yield gpu


def on_gpu(*shape: int, index: int = 0) -> Tensor:
    return torch.ones(*shape, device=f"cuda:{index}")


MIXED: dict[str, Callable[[Tensor], object]] = {
    "sum": lambda x: x + torch.ones(4),
    "in place on the CPU": lambda x: torch.ones(4).add_(x),
    "out": lambda x: torch.add(x, x, out=torch.empty(4)),
    "product": lambda x: x @ torch.ones(4),
    "mask": lambda x: torch.where(torch.ones(4, dtype=torch.bool), x, x),
    "cat": lambda x: torch.cat([x, torch.ones(4)]),
    "foreach": lambda x: torch._foreach_add_([x], [torch.ones(())]),
    "CPU tensor indexed": lambda x: torch.ones(4)[x.long()],
    "two GPUs": lambda x: x + on_gpu(4, index=1),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
@pytest.mark.usefixtures("gpu")
def test_devices_may_not_be_mixed(mix: Callable[[Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match="same device"):
        mix(on_gpu(4))


@pytest.mark.usefixtures("gpu")
def test_what_a_gpu_lets_pass() -> None:
    x = on_gpu(4)
    assert (x + torch.tensor(1.0)).device == torch.device("cuda:0"), "a CPU number of no dimensions"
    assert x[torch.tensor([1])].device == x.device, "a CPU index"
    assert x.to("cuda:1").device == torch.device("cuda:1")
    assert torch.zeros(1).type_as(x).device == x.new_tensor([1.0]).device == torch.zeros_like(x).device == x.device
    assert torch.zeros_like(x, device="cpu").device == x.new_zeros(2, device="cpu").device == torch.device("cpu")


@pytest.mark.usefixtures("gpu")
def test_refusals() -> None:
    x = on_gpu(4)
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()
    with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
        torch.rand(4, device="cuda", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="'cuda' device type for generator"):
        x.uniform_(generator=torch.Generator())
    with pytest.raises(torch.AcceleratorError, match="invalid device ordinal"):
        on_gpu(4, index=2)


WAITS: list[tuple[str, Callable[[Tensor], object]]] = [
    ("item", lambda x: float(x[0])),
    ("item", lambda x: bool(x[0] > 0)),
    ("tolist", lambda x: x.tolist()),
    ("nonzero", lambda x: x.nonzero()),
    ("masked_select", lambda x: x.masked_select(x > 0)),
    ("boolean index", lambda x: x[x > 0]),
    ("equal", lambda x: torch.equal(x, x)),
    ("unique", lambda x: torch.unique(x)),
    ("synchronize", lambda _: torch.cuda.synchronize()),
    ("synchronize", lambda _: torch.cuda.current_stream().synchronize()),
    ("D2H", lambda x: x.cpu()),
    ("D2H", lambda x: torch.empty(4).copy_(x, non_blocking=True)),
    ("D2H", lambda x: torch.empty(4, pin_memory=True).copy_(x)),
    ("H2D", lambda _: torch.ones(4).to("cuda")),
    ("H2D", lambda _: torch.tensor([1], device="cuda")),
    ("H2D", lambda x: x[torch.tensor([1])]),
    ("H2D", lambda _: torch.ones(4).pin_memory().to("cuda")),
]


@pytest.mark.parametrize(("reason", "wait"), WAITS)
def test_a_wait_is_counted_with_its_line(gpu: PretendedGpu, reason: str, wait: Callable[[Tensor], object]) -> None:
    wait(on_gpu(4))
    line = wait.__code__.co_firstlineno
    assert gpu.waits == {f"{reason} @ tests/unit/pretended_gpu/test_tensors.py:{line}": 1}


NO_WAITS: dict[str, Callable[[Tensor], object]] = {
    "computing": lambda x: (x @ x).add_(1).sum().sqrt() if x.shape else x,
    "filling a mask": lambda x: x.__setitem__(x > 0, 0.0),
    "H2D": lambda x: x.copy_(torch.empty(4, pin_memory=True), non_blocking=True),
    "to": lambda _: torch.ones(4).pin_memory()[1:].to("cuda", non_blocking=True),
    "D2H": lambda x: torch.empty(4, pin_memory=True).copy_(x, non_blocking=True),
    "to the CPU": lambda x: x.to("cpu", non_blocking=True),
    "to another GPU": lambda x: x.to("cuda:1"),
    "an event": lambda _: torch.cuda.Event().record(),  # type: ignore[no-untyped-call]
}


@pytest.mark.parametrize("work", NO_WAITS.values(), ids=NO_WAITS)
def test_no_wait(gpu: PretendedGpu, work: Callable[[Tensor], object]) -> None:
    work(on_gpu(4))
    assert not gpu.waits
    assert not gpu.copies


def test_copies_of_memory_that_is_not_pinned_are_counted(gpu: PretendedGpu) -> None:
    torch.ones(4).to("cuda", non_blocking=True)
    assert not gpu.waits
    on_gpu(4).cpu()
    assert [reason[:3] for reason in gpu.copies] == ["H2D", "D2H"]
    assert torch.ones(4).pin_memory().is_pinned()
    assert not torch.ones(4).is_pinned()


def test_gradients_are_those_of_the_cpu(gpu: PretendedGpu) -> None:
    torch.manual_seed(0)
    network, x = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)),
        torch.rand(2, 3, 6, 6),
    )
    there = copy.deepcopy(network)
    parameters = list(there.parameters())
    assert there.to("cuda") is there
    assert all(a is b and a.is_cuda for a, b in zip(parameters, there.parameters(), strict=True))
    for each, given in ((network, x), (there, x.to("cuda"))):
        optimizer = torch.optim.AdamW(each.parameters(), fused=True)
        each(given).square().mean().backward()
        optimizer.step()
    for a, b in zip(network.parameters(), there.cpu().parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)
    assert gpu.operations["aten.convolution.default"] == 1


def test_a_copy_of_a_module_shares_what_the_module_shares(gpu: PretendedGpu) -> None:
    weight = nn.Parameter(on_gpu(4))
    tied = copy.deepcopy(nn.ParameterDict({"whole": weight, "part": nn.Parameter(weight.detach()[1:])}))
    with torch.no_grad():
        tied["whole"].fill_(3)
    assert tied["part"].tolist() == [3, 3, 3]
    assert weight.tolist() == [1, 1, 1, 1]
    assert gpu.waits.total() == 2


@pytest.mark.usefixtures("gpu")
def test_every_thread_has_its_current_gpu() -> None:
    torch.cuda.set_device(1)
    assert torch.ones(1, device="cuda").device == torch.device("cuda:1")
    with torch.cuda.device(0):
        assert torch.cuda.current_device() == 0
    assert torch.cuda.current_device() == 1
    seen: list[torch.device] = []
    thread = threading.Thread(target=lambda: seen.append(torch.ones(1, device="cuda").device))
    thread.start()
    thread.join()
    assert seen == [torch.device("cuda:0")]


@pytest.mark.usefixtures("gpu")
def test_autocast_casts(gpu: PretendedGpu) -> None:
    x = on_gpu(4, 4)
    with torch.autocast("cuda", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
    assert gpu.operations["aten._to_copy.default"] == 2
    with torch.autocast("cuda"):
        assert (x @ x).dtype == torch.float16


def test_nothing_is_left_behind() -> None:
    with pretended_gpu():
        x = on_gpu(1)
    with pytest.raises(RuntimeError, match="outside"):
        x + 1
    assert torch.cuda.device_count() == 0
    assert torch.ones(1).device == torch.device("cpu")
