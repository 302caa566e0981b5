"""Steps by CUDA graphs, on a pretended GPU: what they compute, when they are checked, and when they are not used."""

import gc
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.finetune.events import Stage, StepChosen, TrainingEvent, Warned
from tests.pretended_gpu import PretendedGpu, pretended_gpu
from tests.pretended_gpu.memory import storage_key
from worker.training.data.loader import Batch
from worker.training.loop.compiled_backbone import CompilerCache, Compiling
from worker.training.loop.graphed_step import Captures
from worker.training.loop.graphs import CHECKED_EPOCHS, GraphedForwardBackward
from worker.training.loop.loss_scaler import LossScaler
from worker.training.loop.optimizers import Optimizers
from worker.training.loop.step import ForwardBackward
from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax
from worker.training.objectives.objective import Loss
from worker.training.runtime.control import Control

SIZES = (6, 6, 4)
REPLAYS_OF_CHECK = 3
GRAPHS = len(set(SIZES))


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with pretended_gpu() as gpu:
        yield gpu


@dataclass
class Training:
    """Stage 2 of a linear layer, with a learning rate that falls with each step."""

    device: str
    micro_batch_size: int = 6
    scaled: bool = False
    model: Callable[[nn.Module, Tensor], Tensor] = lambda network, x: network(x)
    compiled: Callable[[nn.Module, Tensor], Tensor] | None = None
    cache: CompilerCache | None = None
    events: list[TrainingEvent] = field(default_factory=list)
    captures: Captures = field(default_factory=Captures)

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = nn.Linear(8, 6).to(self.device)
        classifier = CosineClassifier(6, 4, 64.0, torch.Generator().manual_seed(0)).to(self.device)
        self.parameters = [*self.network.parameters(), *classifier.parameters()]
        optimizer = torch.optim.AdamW(self.parameters, lr=0.05, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
        self.optimizers = Optimizers(optimizer, LossScaler("cpu", enabled=False), schedule)
        self.eager = ForwardBackward(
            lambda x: self.model(self.network, x),
            MarginSoftmax(classifier, ArcFaceMargin(0.5), label_smoothing=0.1),
            self.optimizers,
            self.micro_batch_size,
        )
        self.graphed = self.stage(2)

    def stage(self, stage: Stage) -> GraphedForwardBackward:
        compiling = self._compiling(self.compiled, self.cache)
        return GraphedForwardBackward(self.events.append, stage, self.captures, scaled=self.scaled, compiling=compiling)

    def _compiling(
        self, compiled: Callable[[nn.Module, Tensor], Tensor] | None, cache: CompilerCache | None
    ) -> Compiling | None:
        """`compiled` stands for what torch.compile would make, which a pretended GPU cannot run."""
        if compiled is None or cache is None:
            return None
        step = replace(self.eager, model=lambda x: compiled(self.network, x))
        return Compiling(
            step.gradients, self.eager.gradients, batch_size=SIZES[0], steps_left=10**6, cache=lambda: cache
        )

    def epoch(self, *, graphed: bool) -> list[float]:
        """Train on drawn batches of SIZES; the loss of each step."""
        generator, losses = torch.Generator().manual_seed(1), []
        step: Callable[[Batch], list[Loss]] = self.graphed.start_epoch(self.eager) if graphed else self.eager
        for size in SIZES:
            batch = Batch(
                torch.randn(size, 8, generator=generator).to(self.device), torch.arange(size).to(self.device) % 4
            )
            self.optimizers.zero_grad()
            losses.append(sum(float(each.loss) for each in step(batch)))
            self.optimizers.step()
        return losses

    @property
    def compiled_ways(self) -> list[tuple[str, bool]]:
        return [(event.way, event.compiled) for event in self.events if isinstance(event, StepChosen)]

    @property
    def ways(self) -> list[str]:
        return [event.way for event in self.events if isinstance(event, StepChosen)]

    @property
    def warnings(self) -> list[str]:
        return [event.warning.message for event in self.events if isinstance(event, Warned)]


def trained_eagerly(epochs: int = 1, **changes: Any) -> list[float]:
    training = Training("cuda", **changes)
    return [loss for _ in range(epochs) for loss in training.epoch(graphed=False)]


def test_graphs_train_as_eager_steps_do_and_are_checked_in_the_first_epochs(gpu: PretendedGpu) -> None:
    epochs = CHECKED_EPOCHS + 1
    expected, on_cpu, training = trained_eagerly(epochs), Training("cpu"), Training("cuda")
    found, replays = [], []
    for _ in range(epochs):
        before = gpu.replays
        found += training.epoch(graphed=True)
        replays.append(gpu.replays - before)
    assert found == expected == [loss for _ in range(epochs) for loss in on_cpu.epoch(graphed=False)]
    checked = len(SIZES) + GRAPHS * REPLAYS_OF_CHECK
    assert replays == [checked] * CHECKED_EPOCHS + [len(SIZES)]
    assert training.ways == ["graph"]
    assert training.warnings == []


def test_a_graphed_step_launches_few_operations_and_waits_for_nothing(gpu: PretendedGpu) -> None:
    training = Training("cuda")
    for _ in range(CHECKED_EPOCHS):
        training.epoch(graphed=True)
    step = training.graphed.start_epoch(training.eager)
    batch = Batch(torch.randn(6, 8).to("cuda"), torch.arange(6).to("cuda") % 4)
    training.optimizers.zero_grad()
    operations, waits = gpu.operations.total(), gpu.waits.total()
    step(batch)
    assert gpu.operations.total() - operations == 2, "copies of the inputs and of the labels"
    assert gpu.waits.total() == waits


def write_nothing(replay: Callable[[object], None]) -> Callable[[object], None]:  # noqa: ARG001
    return lambda _: None


def write_other_numbers(replay: Callable[[object], None]) -> Callable[[object], None]:
    def wrong(graph: object) -> None:
        replay(graph)
        capture = graph._capture  # type: ignore[attr-defined]
        for result in (result for recorded in capture._recorded for result in recorded.results):
            if storage_key(result) in capture._fresh and result.is_floating_point() and result.is_contiguous():
                result.mul_(1.001)

    return wrong


@pytest.mark.parametrize(
    ("fault", "good_replays"),
    [
        (write_nothing, 0),
        (write_other_numbers, REPLAYS_OF_CHECK - 1),
        (write_nothing, GRAPHS * REPLAYS_OF_CHECK + len(SIZES)),
    ],
)
def test_a_wrong_replay_is_seen_before_it_moves_a_weight(
    gpu: PretendedGpu,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[..., Callable[[object], None]],
    good_replays: int,
) -> None:
    """In the first replays, and in those at the start of the second epoch."""
    right, wrong = torch.cuda.CUDAGraph.replay, fault(torch.cuda.CUDAGraph.replay)

    def replay(graph: object) -> None:
        (right if gpu.replays < good_replays else wrong)(graph)  # type: ignore[arg-type]

    expected = trained_eagerly(2)
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", replay)
    training = Training("cuda")
    assert training.epoch(graphed=True) + training.epoch(graphed=True) == expected
    assert training.ways == (["graph", "eager"] if good_replays > REPLAYS_OF_CHECK else ["eager"])
    (warning,) = training.warnings
    assert "stage 2 trains without CUDA graphs" in warning
    assert ("inf" in warning) == (fault is write_nothing)


class _Noisy(torch.autograd.Function):
    """`x`, with a gradient that is twice as large at every second call of the process."""

    calls = itertools.count()

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_: object, *gradients: Tensor) -> Tensor:
        return gradients[0] * (1 + next(_Noisy.calls) % 2)


@pytest.mark.parametrize(("fault", "way"), [(None, "graph"), (write_other_numbers, "eager")])
@pytest.mark.usefixtures("gpu")
def test_a_gradient_of_noise_excuses_no_other_one(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[..., Callable[[object], None]] | None, way: str
) -> None:
    def noisy(network: nn.Module, x: Tensor) -> Tensor:
        return nn.functional.linear(x, network.weight, _Noisy.apply(network.bias))  # type: ignore[no-untyped-call, arg-type]

    if fault is not None:
        monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", fault(torch.cuda.CUDAGraph.replay))
    training = Training("cuda", model=noisy)
    training.epoch(graphed=True)
    assert training.ways == [way]


def test_what_cannot_be_captured_is_computed_eagerly(gpu: PretendedGpu) -> None:
    def waits(network: nn.Module, x: Tensor) -> Tensor:
        e: Tensor = network(x)
        return e * float(e.detach().norm())

    training, stream = Training("cuda", model=waits), torch.cuda.current_stream()
    assert training.epoch(graphed=True) == trained_eagerly(model=waits)
    assert training.ways == ["eager"]
    assert "not permitted when stream is capturing" in training.warnings[0]
    assert gpu.replays == 0
    assert torch.cuda.current_stream() == stream


def fail_captures(gpu: PretendedGpu, place: str, error: Exception) -> None:
    """At their begin, at their end, or at an operation inside, which spoils the end too."""

    class Failing(torch.cuda.CUDAGraph):
        def capture_begin(self, *args: object, **kwargs: object) -> None:
            super().capture_begin(*args, **kwargs)  # type: ignore[arg-type]
            assert gpu.capture is not None
            gpu.capture.is_valid = False
            if place == "begin":
                gpu.capture = None
                raise error
            if place == "inside":
                gpu.fail(error, operation="aten")

    torch.cuda.CUDAGraph = Failing  # type: ignore[misc]  # what the fixture puts back


@pytest.mark.parametrize("place", ["begin", "inside", "end"])
def test_after_a_capture_that_failed_there_is_no_other_in_any_stage(gpu: PretendedGpu, place: str) -> None:
    expected, stream = trained_eagerly(2), torch.cuda.current_stream()
    training = Training("cuda")
    fail_captures(gpu, place, torch.AcceleratorError("CUDA error: the first one\nCUDA kernel errors might be"))
    training.graphed = training.stage(1)
    losses = training.epoch(graphed=True)
    training.graphed = training.stage(2)
    assert losses + training.epoch(graphed=True) == expected
    assert gpu.captures == 1
    assert torch.cuda.current_stream() == stream
    first, second = (event for event in training.events if isinstance(event, StepChosen))
    words = "error: operation failed due to a previous error" if place == "end" else "Error: CUDA error: the first one"
    assert (first.way, second.way) == ("eager", "eager")
    assert words in first.reason
    assert second.reason == f"a capture of this process failed: {first.reason}"
    (warning,) = training.warnings
    assert warning.startswith("stage 1 trains without CUDA graphs, and so do all later stages")
    assert f"{first.reason}; run" in warning


def test_a_kernel_that_lacks_in_a_capture_is_told_to_the_loop(gpu: PretendedGpu) -> None:
    """Which changes the layout; and not the error of the end of the capture."""
    training, stream = Training("cuda"), torch.cuda.current_stream()
    fail_captures(gpu, "inside", RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"))
    with pytest.raises(RuntimeError, match="NOT_SUPPORTED"):
        training.epoch(graphed=True)
    assert torch.cuda.current_stream() == stream


def test_a_lack_of_memory_in_a_capture_frees_all_graphs(gpu: PretendedGpu) -> None:
    """In the capture for the smaller last batch, the second one."""
    expected = trained_eagerly(2)
    gc.collect()
    training = Training("cuda")
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    before, captures = gpu.live_bytes, [0]

    class Captured(torch.cuda.CUDAGraph):
        def capture_begin(self, *args: object, **kwargs: object) -> None:
            super().capture_begin(*args, **kwargs)  # type: ignore[arg-type]
            captures[0] += 1
            if captures[0] == GRAPHS:
                gpu.fail(error, operation="aten")

    torch.cuda.CUDAGraph = Captured  # type: ignore[misc]  # what the fixture puts back
    assert training.epoch(graphed=True) + training.epoch(graphed=True) == expected
    assert training.ways == ["graph", "eager"]
    assert training.warnings == []
    training.optimizers.zero_grad()
    training.optimizers.optimizer.state.clear()
    assert gpu.live_bytes == before


@pytest.mark.parametrize(("changes", "reason"), [({"scaled": True}, "fp16"), ({"micro_batch_size": 3}, "of 3")])
def test_scaled_losses_and_split_batches_are_computed_eagerly(
    gpu: PretendedGpu, changes: dict[str, Any], reason: str
) -> None:
    training = Training("cuda", **changes)
    assert training.epoch(graphed=True) == trained_eagerly(**changes)
    (event,) = training.events
    assert isinstance(event, StepChosen)
    assert event.way == "eager"
    assert reason in event.reason
    assert gpu.replays == 0


@pytest.mark.usefixtures("gpu")
def test_a_loss_that_is_not_finite_does_not_speak_against_a_graph() -> None:
    training = Training("cuda")
    step = training.graphed.start_epoch(training.eager)
    batch = Batch(torch.full((6, 8), torch.nan).to("cuda"), torch.arange(6).to("cuda") % 4)
    (loss,) = step(batch)
    assert loss.loss.isnan()
    assert training.events == []
    training.optimizers.zero_grad()
    training.epoch(graphed=True)
    assert training.ways == ["graph"]


def moved(training: Training) -> None:
    """As the layout of a network that changes: the same numbers in other memory."""
    for parameter in training.parameters:
        parameter.data = parameter.data.clone()


def test_parameters_that_were_moved_in_memory_need_new_graphs(gpu: PretendedGpu) -> None:
    training, eagerly, replays = Training("cuda"), Training("cuda"), []
    for _ in range(CHECKED_EPOCHS + 1):
        before = gpu.replays
        assert training.epoch(graphed=True) == eagerly.epoch(graphed=False)
        replays.append(gpu.replays - before)
        moved(training)
    assert replays == [len(SIZES) + GRAPHS * REPLAYS_OF_CHECK] * (CHECKED_EPOCHS + 1), "each graph is checked again"
    assert training.ways == ["graph"]


@pytest.fixture
def compiler_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was, after the test: a cache in use is named there."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def cache(tmp_path: Path) -> CompilerCache:
    cache = CompilerCache(tmp_path / "compiled")
    cache.mark_whole(10.0, Control())
    return cache


def as_compiled(network: nn.Module, x: Tensor) -> Tensor:
    """The same, rounded otherwise."""
    e: Tensor = network(x)
    return e * 3 / 3


@pytest.mark.usefixtures("compiler_environment")
def test_a_compiled_backbone_computes_whole_batches(gpu: PretendedGpu, cache: CompilerCache) -> None:
    training = Training("cuda", compiled=as_compiled, cache=cache)
    found = training.epoch(graphed=True) + training.epoch(graphed=True)
    assert found == pytest.approx(trained_eagerly(2), rel=1e-4)
    assert gpu.replays == 2 * (len(SIZES) + GRAPHS * REPLAYS_OF_CHECK)
    (event,) = training.events
    assert isinstance(event, StepChosen)
    assert (event.way, event.compiled) == ("graph", True)
    assert "its gradients differ from those in float32 by " in event.compiled_reason


def with_wrong_gradients(network: nn.Module, x: Tensor) -> Tensor:
    e: Tensor = network(x)
    return e + 0.01 * (e - e.detach())


def that_waits(network: nn.Module, x: Tensor) -> Tensor:
    e: Tensor = network(x)
    return e * float(e.detach().norm() > 0)


def that_fails(*_: object) -> Tensor:
    raise RuntimeError("the compiler is not there")


@pytest.mark.usefixtures("compiler_environment", "gpu")
@pytest.mark.parametrize(
    ("compiled", "words", "way"),
    [
        (with_wrong_gradients, "its gradients differ from those in float32 by", "graph"),
        (that_fails, "the compiler is not there", "graph"),
        (that_waits, "not permitted when stream is capturing", "eager"),  # no capture after one that failed
    ],
)
def test_a_compiled_backbone_that_is_wrong_or_fails_costs_itself_alone(
    cache: CompilerCache, compiled: Callable[[nn.Module, Tensor], Tensor], words: str, way: str
) -> None:
    training = Training("cuda", compiled=compiled, cache=cache)
    assert training.epoch(graphed=True) + training.epoch(graphed=True) == trained_eagerly(2), "no weight moved"
    assert training.compiled_ways == [(way, False)]
    warning = training.warnings[0]
    assert "stage 2 trains without the compiled backbone" in warning
    assert words in warning


@pytest.mark.usefixtures("compiler_environment", "gpu")
def test_a_wrong_replay_of_a_compiled_backbone_costs_itself_alone(
    cache: CompilerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, replays = torch.cuda.CUDAGraph.replay, [0]

    def replay(graph: object) -> None:
        replays[0] += 1
        if replays[0] != REPLAYS_OF_CHECK:
            right(graph)  # type: ignore[arg-type]

    expected = trained_eagerly()
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", replay)
    training = Training("cuda", compiled=as_compiled, cache=cache)
    assert training.epoch(graphed=True) == expected
    assert training.compiled_ways == [("graph", False)]
    assert "a replay differs from an eager step" in training.warnings[0]


@pytest.mark.usefixtures("gpu")
def test_without_a_warm_cache_nothing_is_compiled(tmp_path: Path) -> None:
    training = Training("cuda", compiled=that_fails, cache=CompilerCache(tmp_path / "cold"))
    assert training.epoch(graphed=True) == trained_eagerly()
    (event,) = training.events
    assert isinstance(event, StepChosen)
    assert (event.way, event.compiled) == ("graph", False)
    assert "run `edgeface-finetune compile`" in event.compiled_reason
    assert not (tmp_path / "cold").exists()
