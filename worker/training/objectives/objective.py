"""The interface of a training objective."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from worker.training.data.loader import Batch

Model = Callable[[Tensor], Tensor]
"""Maps the inputs of a batch to embeddings [B, 512]."""


@dataclass(frozen=True)
class Loss:
    """Sums over the faces of a batch, both scalars.

    `loss` is differentiable; `correct` counts the faces whose most similar class is their own.
    """

    loss: Tensor
    correct: Tensor


class Objective(Protocol):
    """A loss with parameters of its own, which train together with the backbone or on a frozen one."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """The parameters to optimise, without those of the model."""

    def __call__(self, model: Model, batch: Batch) -> Loss:
        """The loss of `model` on `batch`. A face's loss does not depend on the other faces of its batch."""

    def state_dict(self) -> dict[str, Any]:
        """The parameters, under the keys that they have in a saved train state."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read the parameters from a saved train state. Raises KeyError and RuntimeError where they do not fit."""
