"""Reads a weights file in PyTorch's format before 1.6 with torch, in a limited child."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from app.checked_weights.reading import result_of, sha256_of
from app.checked_weights.task import CheckRequest, CheckResult
from app.checked_weights.tensors import Storage, Tensor
from app.finetune.state_dicts import FoundNetwork, find_network
from app.finetune.weights_format import open_weights
from app.isolated.task import Progress
from worker.training.models.state_dicts import load_plain

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.complex128: "C128",
}


@dataclass(frozen=True)
class _Loaded(Tensor):
    """A tensor that torch has loaded."""

    loaded: torch.Tensor | None = None


def check(request: CheckRequest, progress: Progress) -> CheckResult:
    """Raises WeightsError."""
    torch.set_num_threads(1)
    path, family = request.path, request.family
    with open_weights(path) as file:
        sha256 = sha256_of(file, os.fstat(file.fileno()).st_size, progress)
    found = find_network(load_plain(path), family, path, _as_tensor)
    network: FoundNetwork[Tensor] = FoundNetwork(
        dict(found.tensors), found.place, found.unused_networks, found.unused_tensors
    )
    return result_of(path, family, network, _values, sha256, request.keep_in)


def _as_tensor(value: object) -> _Loaded | None:
    if not isinstance(value, torch.Tensor):
        return None
    if (odd := _oddity(value)) is not None:
        return _Loaded((), Storage(None, 0, "F32"), odd=odd)
    dtype = _DTYPES.get(value.dtype, str(value.dtype))
    storage = Storage(0, value.untyped_storage().nbytes(), "I8" if value.is_quantized else dtype)
    return _Loaded(tuple(value.shape), storage, int(value.storage_offset()), value.stride(), loaded=value)


def _oddity(tensor: torch.Tensor) -> str | None:
    if tensor.is_meta:
        return "a meta"
    if tensor.is_nested:
        return "a nested"
    return None if tensor.layout is torch.strided else "a sparse"


def _values(tensor: Tensor) -> npt.NDArray[np.float32]:
    loaded: Any = getattr(tensor, "loaded", None)
    array: npt.NDArray[np.float32] = loaded.detach().float().contiguous().numpy()
    return array
