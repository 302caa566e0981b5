"""Batches of an epoch, and the interface of what they are made from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.microbatches import slices_of
from worker.training.runtime.out_of_memory import in_parts_that_fit

# Shape suffixes: B faces of a batch, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions.


@dataclass(frozen=True)
class Batch:
    """What one step trains on, on the device that trains.

    `inputs` [B, ...] is what the model takes: faces [B, 3, 112, 112] in [-1, 1], or embeddings [B, 512] of them by a
    frozen backbone. `labels_B` [B] are class ids. A slice of a batch shares its memory.
    """

    inputs: Tensor
    labels_B: Tensor

    def __len__(self) -> int:
        return len(self.labels_B)

    def __getitem__(self, places: slice) -> "Batch":
        return Batch(self.inputs[places], self.labels_B[places])


class EpochFaces(Protocol):
    """The faces of one epoch. Everything random about them was drawn at its start, so that a face depends on its place
    in the epoch alone: not on the batches, and not on an interruption."""

    def __len__(self) -> int:
        """The number of faces in the epoch."""

    def faces(self, places: slice) -> Tensor:
        """The faces [B, 3, 112, 112] in [-1, 1] at these places, on the device that trains. Callable in any thread."""

    def labels(self, places: slice) -> Tensor:
        """Their class ids [B], on the device that trains."""

    def state_dict(self) -> dict[str, Any]:
        """What was drawn, as tensors on the CPU."""


class FaceSource(Protocol):
    """The faces that a stage trains on."""

    def __len__(self) -> int:
        """The number of faces in every epoch."""

    def draw_epoch(self, generator: torch.Generator) -> EpochFaces:
        """The faces of a new epoch, drawn from `generator`."""

    def load_epoch(self, state: Mapping[str, Any], generator: torch.Generator) -> EpochFaces:
        """The faces of the epoch whose `state_dict` is in `state`. Raises KeyError where something is missing."""


class Loader:
    """The batches of an epoch from step `first` on, `batch_size` faces each; the last one may be smaller.

    `parallel` threads make the faces of a batch, fewer at a time where memory is short. Raises OutOfMemory where one
    face does not fit.
    """

    def __init__(
        self, epoch: EpochFaces, batch_size: int, first: int = 0, parallel: CpuParallel = SINGLE_THREAD
    ) -> None:
        self._epoch = epoch
        self._batch_size = batch_size
        self._first = first
        self._parallel = parallel

    def __iter__(self) -> Iterator[Batch]:
        for places in slices_of(self._first * self._batch_size, len(self._epoch), self._batch_size):
            yield Batch(self._faces(places), self._epoch.labels(places))

    def _faces(self, places: slice) -> Tensor:
        def faces_at(chosen: Tensor) -> Tensor:
            return self._epoch.faces(slice(int(chosen[0]), int(chosen[-1]) + 1))

        chosen = torch.arange(places.start, places.stop)
        return in_parts_that_fit(faces_at, chosen, len(chosen), parallel=self._parallel)
