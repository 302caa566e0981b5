"""The enlargement of the train set's faces by a DSR network on a GPU with fp16, checked against float32."""

import copy
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from app.finetune.training_errors import EnlargementNotFinite
from worker.training.data.preprocess import Enlarge, EnlargeByDsr
from worker.training.models.dsr import DSR
from worker.training.runtime.device_errors import lacks_kernel

# Shape suffixes: N images, C = 3 channels (RGB), H and W pixels; _u8 is uint8 in 0..255.

MOST_LEVELS = 1
"""How far a value of a face in fp16 may be from the one in float32, of 255 levels: a rounding."""

_FIRST_CAPABILITY = (7, 0)  # tensor cores


class Fp16Enlargement:
    """An `Enlarge` in fp16. It leaves fp16 for `in_float32` where the faces of its first call differ by more than
    MOST_LEVELS, where they are not finite, and where cuDNN has no kernel.

    fp16 has 11 bits, bf16 8: a network with outputs in [0, 1] needs the bits, not the range.
    """

    def __init__(self, in_fp16: Enlarge, in_float32: Enlarge) -> None:
        self._in_fp16 = in_fp16
        self._in_float32 = in_float32
        self._is_checked = False
        self.precision: Literal["fp16", "float32"] = "fp16"

    def __call__(self, vlr_u8_NCHW: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> uint8 faces [N, 3, 112, 112]. Raises what `in_float32` raises."""
        faces_u8_NCHW = self._enlarge_in_fp16(vlr_u8_NCHW) if self.precision == "fp16" else None
        if faces_u8_NCHW is not None and self._is_checked:
            return faces_u8_NCHW
        expected_u8_NCHW = self._in_float32(vlr_u8_NCHW)
        if faces_u8_NCHW is None or _levels_between(faces_u8_NCHW, expected_u8_NCHW) > MOST_LEVELS:
            self.precision = "float32"
        self._is_checked = True
        return expected_u8_NCHW

    def _enlarge_in_fp16(self, vlr_u8_NCHW: Tensor) -> Tensor | None:
        try:
            return self._in_fp16(vlr_u8_NCHW)
        except EnlargementNotFinite:
            return None
        except RuntimeError as error:
            if not lacks_kernel(error):
                raise
            return None


def fp16_enlargement(
    dsr: DSR, path: Path, device: torch.device, in_float32: Enlarge, mixed_precision: str
) -> Fp16Enlargement | None:
    """None on a CPU, on a GPU without tensor cores, and where `mixed_precision` is `off`. `dsr` stays as it is."""
    if device.type != "cuda" or mixed_precision == "off":
        return None
    if torch.cuda.get_device_capability(device) < _FIRST_CAPABILITY:
        return None
    return Fp16Enlargement(EnlargeByDsr(_Fp16DSR.of(dsr), path, device), in_float32)


class _Fp16DSR(DSR):
    """Takes and returns float32."""

    @classmethod
    def of(cls, dsr: DSR) -> "_Fp16DSR":
        with torch.device("meta"):
            in_fp16 = cls(dsr.layout)
        in_fp16.load_state_dict(copy.deepcopy(dsr).half().state_dict(), strict=True, assign=True)
        return in_fp16.eval().requires_grad_(requires_grad=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(x_BCHW.half()).float()


def _levels_between(a_u8_NCHW: Tensor, b_u8_NCHW: Tensor) -> int:
    return int((a_u8_NCHW.short() - b_u8_NCHW.short()).abs().max())
