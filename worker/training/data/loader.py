"""Batches of an epoch, and the interface of what they are made from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from worker.training.data.augment import augment
from worker.training.models.edgeface import normalise
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.microbatches import slices_of
from worker.training.runtime.out_of_memory import in_parts_that_fit, unless_out_of_memory
from worker.training.runtime.profiling import profiled

# Shape suffixes: B faces of a batch, C = 3 channels (RGB), H = W = 112 pixels, D = 512 dimensions.


@dataclass(frozen=True)
class Batch:
    """What one step trains on, on the device that trains.

    `inputs` [B, ...] are uint8 faces [B, 3, 112, 112], which `augmented` makes what the model takes, or embeddings
    [B, 512] of faces by a frozen backbone. `labels_B` [B] are class ids, `drawn_4B` [4, B] the random numbers of the
    augmentation, None where there is none left to do. A slice of a batch shares its memory.
    """

    inputs: Tensor
    labels_B: Tensor
    drawn_4B: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels_B)

    def __getitem__(self, places: slice) -> "Batch":
        drawn_4B = None if self.drawn_4B is None else self.drawn_4B[:, places]
        return Batch(self.inputs[places], self.labels_B[places], drawn_4B)


@profiled("augmentation")
def augmented(batch: Batch) -> Batch:
    """A batch of uint8 faces as the model takes them: augmented by its random numbers, in [-1, 1]."""
    x = batch.inputs if batch.drawn_4B is None else augment(batch.inputs, batch.drawn_4B)
    return Batch(normalise(x), batch.labels_B)


class EpochFaces(Protocol):
    """The faces of one epoch. Everything random about them was drawn at its start, so that a face depends on its place
    in the epoch alone: not on the batches, and not on an interruption."""

    @property
    def made_at_once(self) -> int:
        """The number of faces that are best made together, if it is more than a batch."""

    def __len__(self) -> int:
        """The number of faces in the epoch."""

    def faces(self, places: slice) -> Tensor:
        """The faces at these places, uint8 [B, 3, 112, 112], on the device that trains. Callable in any thread."""

    def labels(self, places: slice) -> Tensor:
        """Their class ids [B], on the device that trains."""

    def drawn(self, places: slice) -> Tensor | None:
        """The random numbers [4, B] of their augmentation, on the device that trains. None: they are as they shall be
        seen."""

    def refuse_not_finite(self) -> None:
        """Raises EnlargementNotFinite where a network made a pixel NaN or infinity. Waits for the device."""

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


def batches_made_at_once(epoch: EpochFaces, batch_size: int) -> int:
    """The number of batches whose faces are made together."""
    return max(1, epoch.made_at_once // batch_size)


class Loader:
    """The batches of an epoch from step `first` on, `batch_size` faces each; the last one may be smaller.

    The faces of `at_once` batches are made ahead, by default as many as `epoch` is best made at once. Which faces are
    made together depends on their place in the epoch alone, so that a run resumed between them makes the same ones
    again, and gets the same bits. Where memory is short, one batch is made at a time, of fewer faces at once.
    `parallel` threads make them. Raises OutOfMemory where one face does not fit.
    """

    def __init__(
        self,
        epoch: EpochFaces,
        batch_size: int,
        first: int = 0,
        parallel: CpuParallel = SINGLE_THREAD,
        at_once: int | None = None,
    ) -> None:
        self._epoch = epoch
        self._batch_size = batch_size
        self._first = first
        self._parallel = parallel
        self._at_once = batches_made_at_once(epoch, batch_size) if at_once is None else at_once

    def __iter__(self) -> Iterator[Batch]:
        batch_size, faces_at_once = self._batch_size, self._at_once * self._batch_size
        start = self._first * batch_size
        while start < len(self._epoch):
            begin = start - start % faces_at_once
            made = slice(begin, min(begin + faces_at_once, len(self._epoch)))
            make = partial(self._faces, made)
            faces = make() if faces_at_once == batch_size else unless_out_of_memory(make)
            if faces is None:
                faces_at_once = batch_size
                continue
            for places in slices_of(start, made.stop, batch_size):
                inputs = faces[places.start - begin : places.stop - begin]
                yield Batch(inputs, self._epoch.labels(places), self._epoch.drawn(places))
            start = made.stop

    def _faces(self, places: slice) -> Tensor:
        def faces_at(chosen: Tensor) -> Tensor:
            return self._epoch.faces(slice(int(chosen[0]), int(chosen[-1]) + 1))

        chosen = torch.arange(places.start, places.stop)
        return in_parts_that_fit(faces_at, chosen, len(chosen), parallel=self._parallel)
