"""Reads names and shapes of the tensors in a file of torch.save, without torch and without running its pickle.

So a submission with unsuitable weights is refused at once. The worker still loads the file strictly.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

from app.finetune.architectures import DsrLayout, infer_dsr_layout, recognise_edgeface, wrapper_key
from app.finetune.errors import WeightsQuantized, WeightsUnreadable, WeightsUnsafe

_HARMLESS_TORCH = ("Size", "device", "float", "half", "int", "bfloat16", "double", "long")


class _Tensor:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


class _Quantized(Exception):
    pass


class _Unsafe(Exception):
    pass


def _rebuild_tensor(_storage: object, _offset: int, size: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(tuple(size))


def _rebuild_parameter(data: _Tensor, *_: object) -> _Tensor:
    return data


def _refuse_quantized(*_: object) -> None:
    raise _Quantized


class _ShapeUnpickler(pickle.Unpickler):
    """Unpickles only plain containers and shapes. It imports no name from the pickle."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return _rebuild_parameter
        if "quantized" in module or "qtensor" in name or name.startswith(("qint", "quint", "per_", "QInt", "QUInt")):
            return _refuse_quantized if _is_called(name) else name
        if module in ("torch", "torch.storage") and (name.endswith("Storage") or name.startswith(_HARMLESS_TORCH)):
            return name
        raise _Unsafe(f"{module}.{name}")

    def persistent_load(self, _: object) -> object:
        return None


def _is_called(name: str) -> bool:
    """Return whether a pickled name is called. Quantised dtypes and schemes are names only."""
    return not name.startswith(("qint", "quint", "per_"))


def read_shapes(path: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of the file's state dict by name, without wrapper keys. None for PyTorch's format before 1.6,
    which only torch can read.

    Raises WeightsUnreadable, WeightsUnsafe or WeightsQuantized.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                _refuse_unless_legacy(path, file)
                return None
            content = _unpickle(file)
    except _Quantized:
        raise WeightsQuantized(path) from None
    except _Unsafe as unsafe:
        raise WeightsUnsafe(path, str(unsafe)) from None
    except WeightsUnreadable:
        raise
    except Exception as error:  # whatever a file of random bytes can make an unpickler raise
        raise WeightsUnreadable(path, str(error) or type(error).__name__) from None
    return _shapes(path, content)


def check_edgeface(path: Path) -> None:
    """Raise WeightsError if the tensors are not of an EdgeFace. The worker checks files in PyTorch's old format."""
    if (shapes := read_shapes(path)) is not None:
        recognise_edgeface(shapes, path)


def check_dsr(path: Path) -> DsrLayout | None:
    """Return the layout of the file's DSR network. None for PyTorch's old format, which the worker checks.

    Raises WeightsError.
    """
    return None if (shapes := read_shapes(path)) is None else infer_dsr_layout(shapes, path)


def _unpickle(file: BinaryIO) -> object:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if not names:
            raise ValueError("the archive has no data.pkl")
        if any(name.endswith("/constants.pkl") for name in archive.namelist()):
            raise _Unsafe("TorchScript module")
        with archive.open(names[0]) as pickled:
            return _ShapeUnpickler(pickled).load()


def _refuse_unless_legacy(path: Path, file: BinaryIO) -> None:
    file.seek(0)
    if file.read(2) not in (b"\x80\x02", b"\x80\x03", b"\x80\x04"):
        raise WeightsUnreadable(path, "it is neither a zip archive nor a pickle")


def _shapes(path: Path, content: object) -> dict[str, tuple[int, ...]]:
    if not isinstance(content, dict):
        raise WeightsUnreadable(path, f"it holds a {type(content).__name__}, not a state dict")
    wrapper = wrapper_key(content)
    tensors = content[wrapper] if wrapper is not None else content
    if not isinstance(tensors, dict):
        raise WeightsUnreadable(path, f"its {wrapper} is a {type(tensors).__name__}, not a state dict")
    if any("_packed_params" in str(name) for name in tensors):
        raise WeightsQuantized(path)
    shapes = {str(name): value.shape for name, value in tensors.items() if isinstance(value, _Tensor)}
    if not shapes:
        raise WeightsUnreadable(path, "it holds no tensors")
    return shapes
