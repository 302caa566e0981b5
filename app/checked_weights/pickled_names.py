"""What the pickle of torch.save may name, and what becomes of it: tensors, and values that no network needs."""

from dataclasses import dataclass
from typing import Any, Final

from app.checked_weights.tensors import Storage, Tensor

MOST_DIMENSIONS: Final = 256
"""Of a shape in a pickle, before anything else is known of it."""


class BadPickle(Exception):
    """Words that end the sentence `PATH is not a readable weights file: ...`."""


class UnsafePickle(Exception):
    """The name of the object that only code could make."""


class QuantizedPickle(Exception):
    pass


class Opaque:
    """A value that no network needs. `type_name` is its class, as in `set`."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def __str__(self) -> str:
        return f"a {self.type_name}"


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names, never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexFloatStorage": "C64",
    "ComplexDoubleStorage": "C128",
    "UntypedStorage": "U8",
}
_DTYPES = {
    "float64": "F64",
    "double": "F64",
    "float32": "F32",
    "float": "F32",
    "float16": "F16",
    "half": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "long": "I64",
    "int32": "I32",
    "int": "I32",
    "int16": "I16",
    "short": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
    "complex64": "C64",
    "complex128": "C128",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
}
_OPAQUE = {
    ("collections", "Counter"),
    ("builtins", "set"),
    ("builtins", "complex"),
    ("builtins", "bytearray"),
    ("_codecs", "encode"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch.serialization", "_get_layout"),
}
_ODD_TENSORS = {
    "_rebuild_sparse_tensor": "a sparse",
    "_rebuild_meta_tensor_no_storage": "a meta",
    "_rebuild_nested_tensor": "a nested",
    "_rebuild_wrapper_subclass": "a wrapped",
    "_rebuild_device_tensor_from_numpy": "a device's",
    "_rebuild_device_tensor_from_cpu_tensor": "a device's",
}
_REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
_REBUILD_PARAMETER = ("_rebuild_parameter", "_rebuild_parameter_with_state")


def storage_dtype(kind: Name) -> str:
    """The type of the numbers in a storage of this class."""
    return _STORAGES.get(kind.name, kind.name)


def made_by(called: Name, arguments: tuple[Any, ...]) -> object:
    """What a call makes that is no dictionary. Raises BadPickle and QuantizedPickle."""
    if called.module == "torch._utils" and called.name in _REBUILD:
        return _rebuilt(called.name, arguments)
    if called.module == "torch._utils" and called.name in _REBUILD_PARAMETER:
        if not arguments or not isinstance(arguments[0], Tensor | Opaque):
            raise BadPickle("its pickle makes a parameter of what is no tensor")
        return arguments[0]
    if called.module == "torch._utils" and called.name in _ODD_TENSORS:
        return Tensor((), Storage(None, 0, "F32"), odd=_ODD_TENSORS[called.name])
    if _is_quantized(called):
        raise QuantizedPickle
    return Opaque(called.name)


def _rebuilt(function: str, arguments: tuple[Any, ...]) -> Tensor:
    """(storage, offset, size, stride, ...); the third version has the dtype as its last argument."""
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise BadPickle("its pickle rebuilds a tensor from too little")
    storage, offset, size, stride = arguments[:4]
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or max(len(size), len(stride)) > MOST_DIMENSIONS:
        raise BadPickle("its pickle declares a shape that is no tuple")
    if function == "_rebuild_tensor_v3":
        dtype = arguments[6] if len(arguments) > 6 else None
        name = dtype.name if isinstance(dtype, Name) else "nothing"
        storage = Storage(storage.start, storage.size, _DTYPES.get(name, name), storage.big_endian)
    return Tensor(size, storage, offset, stride)


def known(name: Name) -> Name:
    """Raise UnsafePickle for a name that torch.load refuses too."""
    is_known = (
        (name.module, name.name) in _OPAQUE
        or name == Name("collections", "OrderedDict")
        or name in (Name("torch", "Tensor"), Name("torch.nn.parameter", "Parameter"))
        or name == Name("torch._tensor", "_rebuild_from_type_v2")
        or (name.module == "torch._utils" and name.name in (*_REBUILD, *_REBUILD_PARAMETER, *_ODD_TENSORS))
        or (name.module in ("torch", "torch.storage") and name.name.endswith("Storage"))
        or (name.module == "torch" and (name.name in _DTYPES or name.name.startswith(("int", "uint", "bits"))))
        or (name.module == "torch" and name.name in ("strided", "sparse_coo", "per_tensor_affine"))
        or _is_quantized(name)
    )
    if not is_known:
        raise UnsafePickle(str(name))
    return name


def _is_quantized(name: Name) -> bool:
    """Whether int8 weights name it. Types and schemes alone mean nothing: only what is called."""
    return (
        "quantized" in name.module
        or "qtensor" in name.name
        or name.name.startswith(("qint", "quint", "per_", "QInt", "QUInt"))
    )
