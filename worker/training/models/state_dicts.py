"""Reads a state dict from an untrusted file. No pickled code runs."""

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from app.finetune.checked_copy import CheckedCopy
from app.finetune.errors import name_some
from app.finetune.state_dicts import Weights, find_network
from app.finetune.weights_errors import (
    WeightsMissing,
    WeightsQuantized,
    WeightsUnreadable,
    WeightsUnsafe,
    WeightsValuesInvalid,
)
from app.finetune.weights_format import format_of

_QUANTISED_DTYPES = (torch.int8, torch.uint8)


def read_state_dict(weights: Path | CheckedCopy, family: Weights) -> dict[str, Tensor]:
    """Read the tensors of a network of the family, by the network's own names, from a checked copy, or from a file
    that torch.save or safetensors wrote.

    Raises WeightsError.
    """
    if isinstance(weights, CheckedCopy):
        return _read_copy(weights)
    network = find_network(load_plain(weights), family, weights, _as_tensor)
    if any(tensor.is_quantized or tensor.dtype in _QUANTISED_DTYPES for tensor in network.tensors.values()):
        raise WeightsQuantized(weights)
    return dict(network.tensors)


def name_of(weights: Path | CheckedCopy) -> Path:
    """The file that a person named."""
    return weights.original if isinstance(weights, CheckedCopy) else weights


def as_float32(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Convert the tensors to float32. Raises WeightsValuesInvalid for integers, NaN and infinity."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsValuesInvalid(path, f"{name} holds {tensor.dtype}, not floating-point numbers")
        if not tensor.isfinite().all():
            raise WeightsValuesInvalid(path, f"{name} holds NaN or infinity")
    return {name: tensor.float() for name, tensor in tensors.items()}


def load_plain(path: Path) -> object:
    """Load a file of tensors and plain values written by torch.save, or the tensors of a safetensors file, on the CPU.

    Raises WeightsMissing, WeightsUnreadable, WeightsOtherFormat, WeightsUnsafe or WeightsQuantized.
    """
    if format_of(path) == "safetensors":
        return _load_safetensors(path.read_bytes(), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of TypedStorage, which no user can act on
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refused_pickle(path, error) from None
        except Exception as error:  # random bytes can make an unpickler raise any exception
            reason = f"{type(error).__name__}: {error}".split(". ")[0]
            raise WeightsUnreadable(path, reason) from None


def _read_copy(copy: CheckedCopy) -> dict[str, Tensor]:
    try:
        content = copy.path.read_bytes()
    except FileNotFoundError:
        raise WeightsMissing(copy.path) from None
    if hashlib.sha256(content).hexdigest() != copy.sha256:
        raise WeightsUnreadable(copy.path, f"it is not the copy of {copy.original} that was checked")
    return _load_safetensors(content, copy.path)


def _load_safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        loaded = safetensors.torch.load(content)
    except Exception as error:  # the library names none
        raise WeightsUnreadable(path, str(error)) from None
    # Each in memory of its own, aligned as PyTorch aligns it: kernels may round otherwise elsewhere.
    return {name: tensor.clone() for name, tensor in loaded.items()}


def _refused_pickle(path: Path, error: pickle.UnpicklingError) -> WeightsQuantized | WeightsUnsafe | WeightsUnreadable:
    try:
        pickled = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # the legacy format names the object in its message only
        pickled = re.findall(r"GLOBAL (\S+)", str(error))
    if any("quantized" in name for name in pickled):
        return WeightsQuantized(path)
    return WeightsUnsafe(path, name_some(pickled)) if pickled else WeightsUnreadable(path, "its pickle is damaged")


def _as_tensor(value: object) -> Tensor | None:
    return value if isinstance(value, Tensor) else None
