"""Stage 1's embeddings, of many batches at once: nothing is differentiated through the frozen backbone."""

from functools import partial

import torch
from torch import Tensor

from worker.training.data.loader import augmented_faces
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.loop.state import TrainState
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed_faces
from worker.training.objectives.objective import Embeddings
from worker.training.runtime.out_of_memory import in_parts_that_fit

# Shape suffixes: N faces embedded ahead, B of a batch or a part of one, D = 512 dimensions.

_FACES_AHEAD = 256
_FACES_AT_ONCE = {"cpu": 64}  # more do not fit a core's cache; a GPU takes all


def batches_embedded_at_once(batch_size: int) -> int:
    """How many batches are embedded together."""
    return max(1, _FACES_AHEAD // batch_size)


class FrozenEmbeddings:
    """The embeddings of one epoch's augmented faces, in the epoch's order, made some 256 at a time.

    Which faces are embedded together depends on the place in the epoch alone, so that a training resumed between them
    embeds the same ones again, and gets the same bits.
    """

    def __init__(self, context: RunContext, backbone: EdgeFace, epoch_state: EpochState) -> None:
        batch_size = context.config.batch_size
        self._course = context
        self._backbone = backbone
        self._running = epoch_state
        self._ahead = batch_size * batches_embedded_at_once(batch_size)
        self._start = 0
        self._e_ND = torch.empty(0)

    def __call__(self, places: slice) -> Tensor:
        """Embeddings [B, 512] of the faces at these places of the epoch, all of one batch. Raises OutOfMemory."""
        start = places.start - places.start % self._ahead
        if start != self._start or not len(self._e_ND):
            self._start, self._e_ND = start, self._embed(start)
        return self._e_ND[places.start - start : places.stop - start]

    def _embed(self, start: int) -> Tensor:
        context, stop = self._course, min(start + self._ahead, len(self._running.order_N))

        @torch.inference_mode()  # each thread has a mode of its own
        def embed_at_once(places: Tensor) -> Tensor:
            return embed_augmented(context, self._backbone, self._running, slice(int(places[0]), int(places[-1]) + 1))

        at_once = _FACES_AT_ONCE.get(context.device.type, self._ahead)
        return in_parts_that_fit(
            embed_at_once, torch.arange(start, stop), at_once, lambda _: context.control.at_work(), context.parallel
        )


def embed_augmented(context: RunContext, backbone: EdgeFace, epoch_state: EpochState, places: slice) -> Tensor:
    """Embeddings [B, 512] of the augmented faces at these places, in the course's precision."""
    return embed_faces(backbone, augmented_faces(context, epoch_state, places), context.precision)


def embeddings_of(context: RunContext, state: TrainState, epoch_state: EpochState) -> Embeddings:
    """Of the augmented faces at some places of the epoch: made ahead in stage 1, through a backbone that learns in
    stage 2."""
    if state.stage == 1:
        return FrozenEmbeddings(context, state.backbone, epoch_state)
    return partial(embed_augmented, context, state.backbone, epoch_state)
