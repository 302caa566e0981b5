"""Batches of embeddings by a frozen backbone, computed for many batches at once."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from worker.training.data.loader import Batch, EpochFaces, augmented
from worker.training.objectives.objective import Model
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.microbatches import slices_of
from worker.training.runtime.out_of_memory import in_parts_that_fit

# Shape suffixes: N faces embedded ahead, D = 512 dimensions.

_FACES_AHEAD = 256
_FACES_AT_ONCE = {"cpu": 64}  # more do not fit a core's cache; a GPU takes all


def batches_embedded_at_once(batch_size: int) -> int:
    """The number of batches whose faces are embedded together."""
    return max(1, _FACES_AHEAD // batch_size)


class FrozenEmbeddings:
    """As `Loader`, but the inputs of the batches are embeddings [B, 512] of the faces by `model`, which is frozen.

    About 256 faces are embedded ahead. Which faces are embedded together depends on their place in the epoch alone, so
    that a run resumed between them embeds the same ones again, and gets the same bits. `on_faces` is called in any
    thread with the number of faces embedded. Raises OutOfMemory where one face does not fit.
    """

    def __init__(
        self,
        model: Model,
        epoch: EpochFaces,
        batch_size: int,
        device: torch.device,
        first: int = 0,
        on_faces: Callable[[int], None] = lambda _: None,
        parallel: CpuParallel = SINGLE_THREAD,
    ) -> None:
        self._model = model
        self._epoch = epoch
        self._batch_size = batch_size
        self._ahead = batch_size * batches_embedded_at_once(batch_size)
        self._at_once = _FACES_AT_ONCE.get(device.type, self._ahead)
        self._first = first
        self._on_faces = on_faces
        self._parallel = parallel

    def __iter__(self) -> Iterator[Batch]:
        embedded_from, e_ND = -1, torch.empty(0)
        for places in slices_of(self._first * self._batch_size, len(self._epoch), self._batch_size):
            start = places.start - places.start % self._ahead
            if start != embedded_from:
                embedded_from, e_ND = start, self._embed(start)
            yield Batch(e_ND[places.start - start : places.stop - start], self._epoch.labels(places))

    def _embed(self, start: int) -> Tensor:
        @torch.inference_mode()  # each thread has a mode of its own
        def embed_at_once(places: Tensor) -> Tensor:
            chosen = slice(int(places[0]), int(places[-1]) + 1)
            epoch = self._epoch
            return self._model(augmented(Batch(epoch.faces(chosen), epoch.labels(chosen), epoch.drawn(chosen))).inputs)

        places = torch.arange(start, min(start + self._ahead, len(self._epoch)))
        return in_parts_that_fit(embed_at_once, places, self._at_once, self._on_faces, self._parallel)
