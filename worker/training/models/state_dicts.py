"""Reads a state dict from an untrusted file. No pickled code runs."""

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

_QUANTISED_DTYPES = (torch.int8, torch.uint8)


def read_state_dict(path: Path, anchor: str) -> dict[str, Tensor]:
    """Read the tensors of a file written by torch.save, without wrapper keys and name prefixes.

    `anchor` is a key that every such network has, such as `stem.0.weight`. The prefix before it is removed everywhere.
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
    """Convert the tensors to float32. Raises WeightsUnreadable for integers, NaN and infinity."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise WeightsUnreadable(path, f"{name} holds {tensor.dtype}, not floating-point numbers")
        if not tensor.isfinite().all():
            raise WeightsUnreadable(path, f"{name} holds NaN or infinity")
    return {name: tensor.float() for name, tensor in tensors.items()}


def load_plain(path: Path) -> object:
    """Load a file of tensors and plain values written by torch.save, on the CPU.

    Raises WeightsUnreadable, WeightsUnsafe or WeightsQuantized.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of TypedStorage and TorchScript, which no user can act on
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise _refused_pickle(path, error) from None
        except Exception as error:  # random bytes can make an unpickler raise any exception
            if (torchscript := _refused_torchscript(path)) is not None:
                raise torchscript from None
            reason = f"{type(error).__name__}: {error}".split(". ")[0]
            raise WeightsUnreadable(path, reason) from None


def _refused_pickle(path: Path, error: pickle.UnpicklingError) -> WeightsQuantized | WeightsUnsafe | WeightsUnreadable:
    try:
        pickled = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # the legacy format names the object in its message only
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
        return value.is_quantized or value.dtype in _QUANTISED_DTYPES
    return "_packed_params" in name
