"""The check of a weights file, which runs in a limited child: its network, its shapes, its values, and its copy."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from app.checked_weights.archive import Archive, BadArchive
from app.checked_weights.copies import write_copy
from app.checked_weights.pickled import unpickle
from app.checked_weights.pickled_names import BadPickle, QuantizedPickle, UnsafePickle
from app.checked_weights.safetensors_header import BadHeader, read_header
from app.checked_weights.task import CheckRequest, CheckResult
from app.checked_weights.tensors import FLOATING, INTEGERS_OF_QUANTISED, BadTensor, ReadBytes, Tensor
from app.finetune.architectures import DsrLayout, infer_dsr_layout, recognise_edgeface
from app.finetune.errors import name_some, printable, shortened
from app.finetune.job_warning import JobWarning
from app.finetune.network_limits import layout_problem
from app.finetune.state_dicts import FoundNetwork, Weights, find_network
from app.finetune.weights_errors import (
    WeightsError,
    WeightsQuantized,
    WeightsTooLarge,
    WeightsUnreadable,
    WeightsUnsafe,
    WeightsValuesInvalid,
)
from app.finetune.weights_format import format_of_file, open_weights
from app.isolated.task import Progress

MOST_FILE_BYTES = 4 * 2**30
MOST_VALUE = 1e6
"""Of a weight, whatever its sign. Trained networks stay below a thousand."""

_BLOCK = 2**22
_COUNTERS = ("n_averaged",)
"""Tensors of torch.optim.swa_utils.AveragedModel that are no part of the network."""

Values = Callable[[Tensor], npt.NDArray[np.float32]]


def check(request: CheckRequest, progress: Progress) -> CheckResult:
    """Raises WeightsError."""
    path = request.path
    with open_weights(path) as file:
        before = os.fstat(file.fileno())
        if before.st_size > MOST_FILE_BYTES:
            raise WeightsUnreadable(path, f"it has {before.st_size:,} bytes; {MOST_FILE_BYTES:,} is the most")
        sha256 = sha256_of(file, before.st_size, progress)
        try:
            result = _check_file(request, file, before.st_size, sha256)
        except (WeightsError, MemoryError):
            raise
        except QuantizedPickle:
            raise WeightsQuantized(path) from None
        except UnsafePickle as unsafe:
            raise WeightsUnsafe(path, str(unsafe)) from None
        except (BadArchive, BadPickle, BadHeader, EOFError) as bad:
            raise WeightsUnreadable(path, str(bad) or "it is cut short") from None
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise WeightsUnreadable(path, "it changed while it was read")
    return result


def result_of(
    path: Path,
    family: Weights,
    network: FoundNetwork[Tensor],
    values: Values,
    sha256: str,
    keep_in: Path | None,
) -> CheckResult:
    """Check the network that was found, its tensors first: nothing is computed from a shape that no bytes stand for.

    Raises WeightsError.
    """
    if any(tensor.dtype in INTEGERS_OF_QUANTISED for tensor in network.tensors.values()):
        raise WeightsQuantized(path)
    shapes = {name: _checked_shape(name, tensor, path) for name, tensor in network.tensors.items()}
    name, layout = _recognise(shapes, family, path)
    arrays = {name: _checked_values(name, tensor, values, path) for name, tensor in network.tensors.items()}
    return CheckResult(
        sha256=sha256,
        network=name,
        layout=layout,
        warnings=tuple(_warnings(path, family, network)),
        copy_=None if keep_in is None else write_copy(keep_in, sha256, family, arrays),
    )


def _check_file(request: CheckRequest, file: BinaryIO, size: int, sha256: str) -> CheckResult:
    path, family = request.path, request.family
    read = _reader(file, size)
    format_ = format_of_file(file, path)
    if format_ == "pickle":
        return CheckResult(sha256=sha256, network=None)
    if format_ == "zip":
        archive = Archive(file.fileno(), size, read)
        content = unpickle(archive.pickle(), archive.find_storage)
    else:
        content = read_header(read, size)
    network = find_network(content, family, path, _as_tensor)
    return result_of(path, family, network, lambda tensor: tensor.read(read), sha256, request.keep_in)


def _reader(file: BinaryIO, size: int) -> ReadBytes:
    def read(start: int, length: int) -> bytes:
        """Raises EOFError beyond the end of the file."""
        if not 0 <= start <= start + length <= size:
            raise EOFError("it is cut short")
        parts = []
        while length > 0:
            if not (part := os.pread(file.fileno(), min(length, _BLOCK), start)):
                raise EOFError("it is cut short")
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return b"".join(parts)

    return read


def sha256_of(file: BinaryIO, size: int, progress: Progress) -> str:
    """Of an open file of this size."""
    digest, done = hashlib.sha256(), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        done += len(block)
        progress(done, size)
    return digest.hexdigest()


def _as_tensor(value: object) -> Tensor | None:
    return value if isinstance(value, Tensor) else None


def _checked_shape(name: str, tensor: Tensor, path: Path) -> tuple[int, ...]:
    try:
        tensor.check()
    except BadTensor as bad:
        raise WeightsValuesInvalid(path, f"{shortened(printable(name))} {bad}") from None
    return tensor.shape


def _recognise(shapes: Mapping[str, tuple[int, ...]], family: Weights, path: Path) -> tuple[str, DsrLayout | None]:
    if family == "EdgeFace":
        return recognise_edgeface(shapes, path).name, None
    layout = infer_dsr_layout(shapes, path)
    if (problem := layout_problem(layout)) is not None:
        raise WeightsTooLarge(path, problem)
    return "DSR", layout


def _checked_values(name: str, tensor: Tensor, values: Values, path: Path) -> npt.NDArray[np.float32]:
    if tensor.dtype not in FLOATING:
        raise WeightsValuesInvalid(path, f"{name} holds {tensor.dtype}, not floating-point numbers")
    array = values(tensor)
    if not np.isfinite(array).all():
        raise WeightsValuesInvalid(path, f"{name} holds NaN or infinity")
    if (largest := float(np.abs(array).max())) > MOST_VALUE:
        raise WeightsValuesInvalid(path, f"{name} holds values up to {largest:.0e}; {MOST_VALUE:.0e} is the most")
    return array


def _warnings(path: Path, family: Weights, network: FoundNetwork[Tensor]) -> list[JobWarning]:
    parts = []
    if network.unused_networks:
        used, others = shortened(printable(network.place or "the top level")), name_some(network.unused_networks)
        parts.append(f"several {family} networks: the one under {used} is used, not {others}")
    if unused := _unused(network.unused_tensors):
        parts.append(f"tensors beside the network, which are not used: {name_some(unused)}")
    return [JobWarning(code="weights_partly_used", message=f"{path} contains {part}") for part in parts]


def _unused(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in _COUNTERS]
