"""Stage 1's embeddings, of many batches at once: nothing is differentiated through the frozen backbone."""

import torch
from torch import Tensor

from worker.training.data.loader import embed_augmented
from worker.training.loop.context import Course
from worker.training.loop.epoch import RunningEpoch
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.out_of_memory import in_parts_that_fit

# Shape suffixes: N faces embedded ahead, B of a batch or a part of one, D = 512 dimensions.

_FACES_AHEAD = 256
_FACES_AT_ONCE = {"cpu": 64}  # more do not fit a core's cache; a GPU takes all


def batches_ahead(batch_size: int) -> int:
    """How many batches are embedded together."""
    return max(1, _FACES_AHEAD // batch_size)


class EmbeddingsAhead:
    """The embeddings of one epoch's augmented faces, in the epoch's order, made some 256 at a time.

    Which faces are embedded together depends on the place in the epoch alone, so that a training resumed between them
    embeds the same ones again, and gets the same bits.
    """

    def __init__(self, course: Course, backbone: EdgeFace, running: RunningEpoch) -> None:
        batch_size = course.config.batch_size
        self._course = course
        self._backbone = backbone
        self._running = running
        self._ahead = batch_size * batches_ahead(batch_size)
        self._start = 0
        self._e_ND = torch.empty(0)

    def __call__(self, places: slice) -> Tensor:
        """Embeddings [B, 512] of the faces at these places of the epoch, all of one batch. Raises OutOfMemory."""
        start = places.start - places.start % self._ahead
        if start != self._start or not len(self._e_ND):
            self._start, self._e_ND = start, self._embed(start)
        return self._e_ND[places.start - start : places.stop - start]

    def _embed(self, start: int) -> Tensor:
        course, stop = self._course, min(start + self._ahead, len(self._running.order_N))

        @torch.inference_mode()  # each thread has a mode of its own
        def embed_at_once(places: Tensor) -> Tensor:
            return embed_augmented(course, self._backbone, self._running, slice(int(places[0]), int(places[-1]) + 1))

        at_once = _FACES_AT_ONCE.get(course.device.type, self._ahead)
        return in_parts_that_fit(
            embed_at_once, torch.arange(start, stop), at_once, lambda _: course.control.at_work(), course.lanes
        )
