"""The enlarged VLR faces of the train set, augmented."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.training.data.augment import augment, draw
from worker.training.models.edgeface import normalise
from worker.training.runtime.profiling import profiled

# Shape suffixes: N training faces, B some of them, C = 3 channels (RGB), H = W = 112 pixels; 4 random numbers per face;
# _u8 is uint8 in 0..255.


@dataclass(frozen=True)
class VlrFaces:
    """A `FaceSource`: every training face once an epoch, flipped or not and with colour jitter.

    `faces_u8_NCHW` may be on another device than `device`, or on disk; `labels_N` are on the same device as the faces.
    `device` trains. The random numbers are drawn `batch_size` faces at a time.
    """

    faces_u8_NCHW: Tensor
    labels_N: Tensor
    device: torch.device
    batch_size: int

    def __len__(self) -> int:
        return len(self.labels_N)

    def draw_epoch(self, generator: torch.Generator) -> "VlrEpoch":
        order_N = torch.randperm(len(self), generator=generator)
        drawn = [draw(len(batch), generator) for batch in torch.split(order_N, self.batch_size)]
        return VlrEpoch(self, order_N, torch.cat(drawn, dim=1))

    def load_epoch(self, state: Mapping[str, Any], generator: torch.Generator) -> "VlrEpoch":
        """The first states drew for a batch before its step, and their `generator` stands after the steps done: here it
        then draws for the rest of the epoch, the numbers that it would have drawn."""
        if "drawn_4N" in state:
            return VlrEpoch(self, state["order_N"], state["drawn_4N"])
        batches = torch.split(state["order_N"], self.batch_size)
        done, left = batches[: state["step"]], batches[state["step"] :]
        drawn = [torch.zeros(4, len(batch)) for batch in done] + [draw(len(batch), generator) for batch in left]
        return VlrEpoch(self, state["order_N"], torch.cat(drawn, dim=1))


class VlrEpoch:
    """The `EpochFaces` of VLR faces in the order `order_N`, augmented by the random numbers `drawn_4N`."""

    def __init__(self, source: VlrFaces, order_N: Tensor, drawn_4N: Tensor) -> None:
        self._source = source
        self.order_N = order_N.to(source.labels_N.device)
        self.drawn_4N = drawn_4N.to(source.device)

    def __len__(self) -> int:
        return len(self.order_N)

    def faces(self, places: slice) -> Tensor:
        source = self._source
        with profiled("feed"):
            faces_u8_BCHW = source.faces_u8_NCHW[self.order_N[places]].to(source.device, non_blocking=True)
        with profiled("augmentation"):
            return normalise(augment(faces_u8_BCHW, self.drawn_4N[:, places]))

    def labels(self, places: slice) -> Tensor:
        return self._source.labels_N[self.order_N[places]].to(self._source.device, non_blocking=True)

    def state_dict(self) -> dict[str, Any]:
        return {"order_N": self.order_N.cpu(), "drawn_4N": self.drawn_4N.cpu()}
