"""The enlarged VLR faces of the train set, augmented."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.training.data.augment import draw
from worker.training.runtime.profiling import profiled
from worker.training.runtime.transfers import to_device

# Shape suffixes: N training faces, B some of them, C = 3 channels (RGB), H = W = 112 pixels; 4 random numbers per face;
# _u8 is uint8 in 0..255.


@dataclass(frozen=True)
class VlrFaces:
    """A `FaceSource`: every training face once an epoch, flipped or not and with colour jitter.

    `faces_u8_NCHW` may be on another device than `device`, which trains, or on disk; `labels_N` are on `device`. The
    random numbers are drawn `batch_size` faces at a time.
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
    """The `EpochFaces` of VLR faces in the order `order_N`, augmented by the random numbers `drawn_4N`; both are drawn
    on the CPU. `order_N` stays there, `drawn_4N` moves to the device that trains."""

    made_at_once = 1

    def __init__(self, source: VlrFaces, order_N: Tensor, drawn_4N: Tensor) -> None:
        self._source = source
        self.order_N = order_N
        self._drawn_on_cpu_4N = drawn_4N
        self._chosen_N = to_device(order_N, source.faces_u8_NCHW.device)
        self.drawn_4N = to_device(drawn_4N, source.device)
        self._labels_N = source.labels_N[to_device(order_N, source.device)]

    def __len__(self) -> int:
        return len(self.order_N)

    def faces(self, places: slice) -> Tensor:
        source = self._source
        with profiled("feed"):
            return to_device(source.faces_u8_NCHW[self._chosen_N[places]], source.device)

    def labels(self, places: slice) -> Tensor:
        return self._labels_N[places]

    def drawn(self, places: slice) -> Tensor:
        return self.drawn_4N[:, places]

    def refuse_not_finite(self) -> None:
        """No network makes these faces."""

    def state_dict(self) -> dict[str, Any]:
        return {"order_N": self.order_N, "drawn_4N": self._drawn_on_cpu_4N}
