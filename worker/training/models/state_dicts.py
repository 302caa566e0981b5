"""Reads a state dict from a file that may come from anywhere: no code in it runs, nothing odd in it passes."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.architectures import strip_prefixes, wrapper_key
from app.finetune.errors import WeightsQuantized, WeightsUnreadable, WeightsUnsafe, name_some

_INTEGERS_OF_QUANTISATION = (torch.int8, torch.uint8)


def read_state_dict(path: Path, anchor: str) -> dict[str, Tensor]:
    """The tensors of a file that torch.save wrote, unwrapped, without the prefix that `anchor` has.

    `anchor` is a key every such network has, such as `stem.0.weight`.
    Raises WeightsUnreadable, WeightsUnsafe or WeightsQuantized.
    """
    content = load_plain(path)
    if not isinstance(content, Mapping):
        raise WeightsUnreadable(path, f"it holds a {type(content).__name__}, not a state dict")
    wrapper = wrapper_key(content)
    entries = content if wrapper is None else content[wrapper]
    if not isinstance(entries, Mapping):
        raise WeightsUnreadable(path, f"its {wrapper} is a {type(entries).__name__}, not a state dict")
    tensors = _tensors(entries, path)
    prefix = strip_prefixes(tensors, anchor)
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def as_float32(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The numbers of a state dict whose names fit. Raises WeightsUnreadable for integers, NaN and infinity."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsUnreadable(path, f"{name} holds {tensor.dtype}, not floating-point numbers")
        if not tensor.isfinite().all():
            raise WeightsUnreadable(path, f"{name} holds NaN or infinity")
    return {name: tensor.float() for name, tensor in tensors.items()}


def load_plain(path: Path) -> object:
    """What torch.save wrote, on the CPU, of tensors and plain values alone.

    Raises WeightsUnreadable, WeightsUnsafe or WeightsQuantized.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TypedStorage and TorchScript deprecations: about torch, not about this file
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refused_pickle(path, error) from None
        except Exception as error:  # whatever a file of random bytes can make an unpickler raise
            if (torchscript := _refused_torchscript(path)) is not None:
                raise torchscript from None
            reason = f"{type(error).__name__}: {error}".split(". ")[0]
            raise WeightsUnreadable(path, reason) from None


def _refused_pickle(path: Path, error: pickle.UnpicklingError) -> WeightsQuantized | WeightsUnsafe | WeightsUnreadable:
    try:
        pickled = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not the zip format: the old one names the object in its message alone
        pickled = re.findall(r"GLOBAL (\S+)", str(error))
    if any("quantized" in name for name in pickled):
        return WeightsQuantized(path)
    return WeightsUnsafe(path, name_some(pickled)) if pickled else WeightsUnreadable(path, "its pickle is damaged")


def _refused_torchscript(path: Path) -> WeightsQuantized | WeightsUnsafe | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(name.endswith("/constants.pkl") for name in names):
            return None
        code = b"".join(archive.read(name) for name in names if name.endswith((".py", "/data.pkl")))
    return WeightsQuantized(path) if b"quantized" in code else WeightsUnsafe(path, "TorchScript program")


def _tensors(entries: Mapping[str, object], path: Path) -> dict[str, Tensor]:
    if any(_is_quantised(name, value) for name, value in entries.items()):
        raise WeightsQuantized(path)
    tensors = {}
    for name, value in entries.items():
        if not isinstance(value, Tensor):
            raise WeightsUnreadable(path, f"{name} is a {type(value).__name__}, not a tensor")
        tensors[name] = value
    return tensors


def _is_quantised(name: str, value: object) -> bool:
    if isinstance(value, Tensor):
        return value.is_quantized or value.dtype in _INTEGERS_OF_QUANTISATION
    return "_packed_params" in name
