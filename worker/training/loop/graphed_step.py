"""The gradients of a batch as one CUDA graph: a thousand small operations become one call.

The faces are gathered outside, into the memory that the graph reads, and the optimizer steps outside: the learning
rates stay numbers of the host, and saved states stay as they are. A graph holds for batches of one size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from worker.training.data.loader import Batch
from worker.training.objectives.objective import Loss
from worker.training.runtime.device_errors import first_line

Result = TypeVar("Result")

Gradients = Callable[[Batch], tuple[list[Tensor], Loss]]
"""The gradients of the mean loss over a batch, each in memory of its own that lies as the parameter does, and the
detached loss."""

_WARM_UPS = 3
"""Steps before a capture, in which the libraries choose algorithms and allocate workspaces."""

_REPLAYS = 3
_FLOOR = 1e-5
"""The relative difference that is permitted where eager steps differ by less: a hundred roundings of float32."""
_UNSET = {True: float("nan"), False: -1}
"""For types that are floating-point, and others: what no gradient, loss or count is."""


@dataclass(frozen=True)
class Check:
    """How far apart the gradients and losses of one batch are: of replays and an eager step, and of two eager steps.

    |a - b| / |b| by the Euclidean norm, infinite where one is NaN: of that parameter's gradient, or of the loss or the
    count, whose replays are the furthest from what its own eager steps permit. `is_finite`: of all eager steps.
    """

    replayed: float
    eager: float
    is_finite: bool

    @property
    def is_right(self) -> bool:
        """Equal bit for bit, or as equal as eager steps are."""
        return self.replayed <= max(2 * self.eager, _FLOOR)


class Captures:
    """The captures of one process. After one that failed there must be no more, in any stage: PyTorch's allocator may
    go on as during a capture, and then frees no cached memory where memory runs out.

    `failure` is what the first error said, None where there was none.
    """

    def __init__(self) -> None:
        self.failure: str | None = None

    def capture(self, graph: torch.cuda.CUDAGraph, compute: Callable[[], Result], pool: Any, stream: Any) -> Result:
        """What `compute` returns, recorded into `graph`. Raises the error of `compute`, or else of the capture."""
        inside: Exception | None = None
        try:
            # `torch.cuda.graph` leaves its stream current where a capture cannot begin or end: the context around it
            # does not. Other threads write files meanwhile.
            with (
                torch.cuda.stream(stream),
                torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
            ):
                try:
                    return compute()
                except Exception as error:
                    inside = error
                    raise
        except Exception as error:
            # The end of a capture says only "operation failed due to a previous error".
            cause = inside or error
            self.failure = described(cause)
            raise cause from None


class GraphedStep:
    """`gradients` of batches like `batch`, as a CUDA graph whose memory lies in `pool`.

    The capture changes no number that the training computes with. Raises what PyTorch and the libraries raise.
    """

    def __init__(
        self, gradients: Gradients, parameters: Sequence[nn.Parameter], batch: Batch, pool: Any, captures: Captures
    ) -> None:
        self._compute = gradients
        self._parameters = parameters
        self._batch = _copied(batch)
        device = batch.inputs.device
        here = torch.cuda.current_stream(device)
        beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                gradients(self._batch)
        here.wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        self._gradients, self._loss = captures.capture(self._graph, partial(gradients, self._batch), pool, beside)

    @property
    def pool(self) -> Any:
        """For the next graph; it may be replayed only when this graph's results are used up."""
        return self._graph.pool()

    def __call__(self, batch: Batch) -> Loss:
        """Set `grad` of the parameters to the gradients of `batch`. They and the loss hold until the next call."""
        self._feed(batch)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._loss

    @torch.no_grad()
    def check(self, batch: Batch) -> Check:
        """Compare replays with the same code run eagerly, on `batch`. No parameter changes.

        What the graph writes to is overwritten before each replay, so that one that writes nothing is seen.
        """
        self._feed(batch)
        expected, again = self._eager(), self._eager()
        replayed, results = [], [*self._gradients, self._loss.loss, self._loss.correct]
        for _ in range(_REPLAYS):
            for result in results:
                result.fill_(_UNSET[result.is_floating_point()])
            self._graph.replay()
            replayed.append(_differences(results, expected))
        is_finite = torch.stack([each.isfinite().all() for each in expected]).all()
        return _check_of(torch.stack(replayed).amax(0), _differences(again, expected), is_finite)

    def _feed(self, batch: Batch) -> None:
        mine = self._batch
        mine.inputs.copy_(batch.inputs)
        mine.labels_B.copy_(batch.labels_B)
        if mine.drawn_4B is not None and batch.drawn_4B is not None:
            mine.drawn_4B.copy_(batch.drawn_4B)

    @torch.enable_grad()
    def _eager(self) -> list[Tensor]:
        gradients, loss = self._compute(self._batch)
        return [*gradients, loss.loss, loss.correct]


def described(error: Exception) -> str:
    """Its class and the first line of its message, without CUDA's lines about debugging."""
    return f"{type(error).__name__}: {first_line(error)}"


def _copied(batch: Batch) -> Batch:
    drawn_4B = None if batch.drawn_4B is None else batch.drawn_4B.clone()
    return Batch(batch.inputs.clone(), batch.labels_B.clone(), drawn_4B)


def _differences(found_N: Sequence[Tensor], expected_N: Sequence[Tensor]) -> Tensor:
    """Of each tensor, [N]."""
    smallest = torch.finfo(torch.float32).tiny
    shares = [
        (one.float() - other.float()).norm() / other.float().norm().clamp_min(smallest)
        for one, other in zip(found_N, expected_N, strict=True)
    ]
    return torch.stack(shares).nan_to_num(nan=float("inf"), posinf=float("inf"))


def _check_of(replayed_N: Tensor, eager_N: Tensor, is_finite: Tensor) -> Check:
    """One wait for the GPU, not one for each tensor."""
    replayed, eager = torch.stack([replayed_N, eager_N]).tolist()
    worst = max(range(len(replayed)), key=lambda n: replayed[n] / max(2 * eager[n], _FLOOR))
    return Check(replayed[worst], eager[worst], bool(is_finite))
