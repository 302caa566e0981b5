"""A pretended CUDA graph replays what was captured, and refuses what a capture does not permit."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.pretended_gpu import CaptureError, pretended_gpu


def test_a_replay_computes_from_what_lies_in_the_same_memory() -> None:
    with pretended_gpu() as gpu:
        x, total, graph = torch.ones(3, device="cuda"), torch.zeros(3, device="cuda"), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = x.flip(0) * 2
            total += y
            part = y[1:]
        assert total.tolist() == [0, 0, 0], "a capture runs nothing"
        assert y.isnan().all()
        x.copy_(torch.tensor([1.0, 2.0, 3.0]))
        for times in (1, 2):
            graph.replay()
            assert y.tolist() == [6, 4, 2]
            assert part.tolist() == [4, 2]
            assert total.tolist() == [6 * times, 4 * times, 2 * times]
        assert gpu.replays == 2


def test_gradients_in_a_graph() -> None:
    with pretended_gpu():
        weight = torch.ones(3, device="cuda", requires_grad=True)
        x, graph = torch.zeros(3, device="cuda"), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            (gradient,) = torch.autograd.grad((weight * x).square().sum(), weight)
        x.fill_(2)
        graph.replay()
        assert gradient.tolist() == [8, 8, 8]


def test_a_number_of_the_host_is_frozen() -> None:
    with pretended_gpu():
        x, rate, graph = torch.ones(1, device="cuda"), [0.5], torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = x * rate[0]
        rate[0] = 2.0
        graph.replay()
        assert y.item() == 0.5


REFUSED: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "boolean index": lambda x: x[x > 0],
    "made on the host": lambda _: torch.tensor([1.0], device="cuda"),
    "copied from memory that is not pinned": lambda x: x.copy_(torch.ones(3), non_blocking=True),
    "a blocking copy": lambda x: x.copy_(torch.ones(3).pin_memory()),
    "synchronize": lambda _: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_a_capture_refuses(refused: Callable[[Tensor], object]) -> None:
    with pretended_gpu():
        x, graph = torch.ones(3, device="cuda"), torch.cuda.CUDAGraph()
        with pytest.raises(CaptureError, match="previous error") as raised, torch.cuda.graph(graph):
            refused(x)
        assert "capturing" in str(raised.value.__context__)
        assert not torch.cuda.is_current_stream_capturing()
        with pytest.raises(RuntimeError, match="without a preceding successful capture"):
            graph.replay()


def test_a_refusal_that_is_caught_spoils_the_capture() -> None:
    with pretended_gpu():
        x = torch.ones(3, device="cuda")
        with pytest.raises(CaptureError, match="previous error"), torch.cuda.graph(torch.cuda.CUDAGraph()):
            try:
                x.sum().item()
            except RuntimeError:
                x += 1


def test_a_capture_that_cannot_be_ended_leaves_its_stream_current() -> None:
    """As `torch.cuda.graph` does, whose `__exit__` has no `finally`."""
    with pretended_gpu():
        x, before = torch.ones(3, device="cuda"), torch.cuda.current_stream()
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=beside):
            assert torch.cuda.current_stream() == beside
        assert torch.cuda.current_stream() == before
        with pytest.raises(CaptureError), torch.cuda.graph(torch.cuda.CUDAGraph(), stream=beside):
            x.sum().item()
        assert torch.cuda.current_stream() == beside != before


def test_pinned_memory_is_copied_at_each_replay() -> None:
    with pretended_gpu():
        host, graph = torch.zeros(3).pin_memory(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            x = host.to("cuda", non_blocking=True)
        host.fill_(5)
        graph.replay()
        assert x.tolist() == [5, 5, 5]


def test_graphs_that_share_a_pool() -> None:
    """Its memory is used again, so that a replay of the first spoils what the second gave."""
    with pretended_gpu() as gpu:
        x = torch.ones(2**18, device="cuda")
        first, second, before = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph(), gpu.live_bytes
        with torch.cuda.graph(first):
            y = ((x + 1) * 2).sum()
        with torch.cuda.graph(second, pool=first.pool()):
            z = x + 2
        assert gpu.live_bytes - before <= 2 * 2**20 + 2 * 512
        first.replay()
        second.replay()
        assert (y.item(), z[0].item()) == (2**20, 3)
        first.replay()
        assert z.isnan().all()
        assert y.item() == 2**20
        del first, second, y, z
        assert gpu.live_bytes == before


def test_an_optimizer_that_a_graph_would_freeze_is_refused() -> None:
    with pretended_gpu():
        weight = torch.nn.Parameter(torch.ones(3, device="cuda"))
        weight.grad = torch.ones_like(weight)
        optimizer = torch.optim.AdamW([weight], fused=True)
        optimizer.step()
        with pytest.raises(RuntimeError, match="capturable"), torch.cuda.graph(torch.cuda.CUDAGraph()):
            optimizer.step()
