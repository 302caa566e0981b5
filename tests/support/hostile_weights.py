"""Weights files that were made to do harm. Each is a few kilobytes, or as large as it has to be."""

import io
import json
import os
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.finetune.architectures import DsrLayout
from worker.training.models.dsr import DSR

SMALL = DsrLayout(channels=2, blocks=1, factors=(2,), prelu_parameters=1)
GIB = 2**30


def tensors_of(layout: DsrLayout = SMALL) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(DSR(layout).state_dict())


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def archive(pickled: bytes, entries: dict[str, bytes] | None = None, *, deflated: bool = False) -> bytes:
    """A file as torch.save writes it, with this pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in (entries or {}).items():
            file.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def deflated_gigabyte() -> bytes:
    """A pickle of one object of a gigabyte: a megabyte in the file."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("archive/data.pkl", "w", force_zip64=True) as pickled,
    ):
        pickled.write(b"\x80\x04\x8e" + struct.pack("<Q", GIB))
        for _ in range(GIB // 2**24):
            pickled.write(bytes(2**24))
        pickled.write(b".")
    return buffer.getvalue()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def stored(name: str, size: bytes, stride: bytes = b"(K\x01K\x01K\x01K\x01t", elements: int = 1) -> bytes:
    """The pickle of a state dict of one tensor, whose size and stride are these opcodes."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + size + stride + b"\x89}tR"
    assert elements >= 0
    return b"\x80\x02}" + text(name) + tensor + b"s."


def with_shape(size: bytes) -> bytes:
    return archive(stored("conv_in.weight", size), {"data/0": bytes(4096)})


def long_integer(value: int) -> bytes:
    """LONG4, which takes any number."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(data)) + data


def changed(**tensors: Any) -> bytes:
    return saved({**tensors_of(), **{name.replace("__", "."): tensor for name, tensor in tensors.items()}})


def deep_dictionaries(depth: int) -> bytes:
    """{"a": {"a": ...}}."""
    return b"\x80\x02" + (b"}" + text("a")) * depth + b"}" + b"s" * depth + b"."


def overlapping_header() -> bytes:
    """A safetensors file whose header has no end in the file."""
    return (2**60).to_bytes(8, "little") + b"{" + bytes(64)


def safetensors(header: object, data: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def large_dsr(layout: DsrLayout) -> bytes:
    return saved(tensors_of(layout))


def expanded(layout: DsrLayout) -> bytes:
    """A network of which the file holds one number of each tensor."""
    return saved({name: torch.zeros(1).expand(shape) for name, shape in layout.shapes().items()})


def nan(value: float) -> bytes:
    return changed(conv_out__bias=torch.full((3,), value))


Case = tuple[Callable[[], bytes], str, str]
"""The file, the code of its error, and words of its message."""

HOSTILE: dict[str, Case] = {
    "tuples as keys": (
        lambda: archive(b"\x80\x02}(K\x01t" + b"q\x00h\x00\x86" * 24 + b"K\x01s."),
        "weights_without_tensors",
        "a tuple (an int)",
    ),
    "tuples as keys, 1,000 deep": (
        lambda: archive(b"\x80\x02}(K\x01t" + b"q\x00h\x00\x86" * 1000 + b"K\x01s."),
        "weights_without_tensors",
        "a tuple (an int)",
    ),
    "memo bomb": (
        lambda: archive(b"\x80\x02}r" + struct.pack("<I", 0x04000000) + b"."),
        "weights_unreadable",
        "numbers a value 67,108,864",
    ),
    "a deflated gigabyte": (deflated_gigabyte, "weights_unreadable", "its data.pkl has 1,073,741,836 bytes"),
    "deflated": (
        lambda: archive(stored("conv_in.weight", b"(K\x01t"), deflated=True),
        "weights_unreadable",
        "it is compressed, which torch.save does not do",
    ),
    "a key of 5 MB": (
        lambda: archive(b"\x80\x02}" + text("k" * 5_000_000) + b"K\x01s."),
        "weights_unreadable",
        "a key of 5,000,000 characters",
    ),
    "a name of 5 MB": (
        lambda: archive(b"\x80\x02c" + b"m" * 5_000_000 + b"\nname\n."),
        "weights_unreadable",
        "a name of more than 256 characters",
    ),
    "code": (lambda: archive(b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R."), "weights_unsafe", "os.system"),
    "a forbidden opcode": (
        lambda: archive(b"\x80\x04\x8c\x02os\x8c\x06system\x93."),
        "weights_unreadable",
        "the opcode SHORT_BINUNICODE",
    ),
    "a million steps": (
        lambda: archive(b"\x80\x02" + b"N" * 1_100_000 + b"."),
        "weights_unreadable",
        "1,000,000 steps",
    ),
    "a value that is not there": (lambda: archive(b"\x80\x02s."), "weights_unreadable", "a value that is not there"),
    "nothing": (lambda: archive(b""), "weights_unreadable", "cut short"),
    "deep dictionaries": (
        lambda: archive(deep_dictionaries(50_000)),
        "weights_unreadable",
        "nested more than 32 deep",
    ),
    "a network that the file does not hold": (
        lambda: expanded(SMALL),
        "weights_values_invalid",
        "elements, of which the file holds 1",
    ),
    "20,000 channels declared": (
        lambda: expanded(DsrLayout(20_000, 1, (2,), 1)),
        "weights_values_invalid",
        "of which the file holds 1",
    ),
    "factors of 8x8x8": (lambda: large_dsr(DsrLayout(1, 1, (8, 8, 8), 1)), "weights_too_large", "enlarge 512 times"),
    "a factor of 16": (lambda: large_dsr(DsrLayout(1, 1, (16,), 1)), "weights_too_large", "each is 1 to 8"),
    "300 channels": (lambda: large_dsr(DsrLayout(300, 0, (), 1)), "weights_too_large", "it has 300 channels"),
    "65 blocks": (lambda: large_dsr(DsrLayout(1, 65, (), 1)), "weights_too_large", "it has 65 residual blocks"),
    "no shape": (lambda: with_shape(b")"), "weights_values_invalid", "offset or strides"),
    "no number": (lambda: with_shape(b"K\x18N\x86"), "weights_values_invalid", "a shape that no tensor has"),
    "10^5000": (
        lambda: with_shape(b"K\x18" + long_integer(10**5000) + b"\x86"),
        "weights_unreadable",
        "the opcode LONG4",
    ),
    "a huge number": (
        lambda: with_shape(b"K\x18\x8a\x0a" + b"\x7f" * 10 + b"\x86"),
        "weights_values_invalid",
        "a shape that no tensor has",
    ),
    "a size of zero": (lambda: with_shape(b"(K\x18K\x00K\x03K\x03t"), "weights_values_invalid", "has no elements"),
    "a negative size": (
        lambda: with_shape(b"(K\x18J\xff\xff\xff\xffK\x03K\x03t"),
        "weights_values_invalid",
        "a shape that no tensor has",
    ),
    "strides beyond the data": (
        lambda: archive(
            stored("conv_in.weight", b"(K\x02K\x03K\x03K\x03t", b"(M\xff\xffK\x09K\x03K\x01t"), {"data/0": bytes(4096)}
        ),
        "weights_values_invalid",
        "reaches beyond its data",
    ),
    "a sparse tensor": (
        lambda: changed(conv_out__bias=torch.zeros(3).to_sparse()),
        "weights_values_invalid",
        "conv_out.bias is a sparse tensor",
    ),
    "a meta tensor": (
        lambda: changed(conv_out__bias=torch.zeros(3, device="meta")),
        "weights_values_invalid",
        "conv_out.bias is a meta tensor",
    ),
    "3e38": (lambda: nan(3e38), "weights_values_invalid", "conv_out.bias holds values up to 3e+38"),
    "NaN": (lambda: nan(float("nan")), "weights_values_invalid", "conv_out.bias holds NaN or infinity"),
    "a float64 beyond float32": (
        lambda: changed(conv_out__bias=torch.full((3,), 1e300, dtype=torch.float64)),
        "weights_values_invalid",
        "conv_out.bias holds NaN or infinity",
    ),
    "integers": (
        lambda: changed(conv_out__bias=torch.zeros(3, dtype=torch.int64)),
        "weights_values_invalid",
        "not floating-point numbers",
    ),
    "safetensors: no end": (overlapping_header, "weights_unreadable", "neither a zip archive nor a pickle"),
    "safetensors: beyond the end": (
        lambda: safetensors({"conv_in.weight": {"dtype": "F32", "shape": [2**20], "data_offsets": [0, 2**22]}}),
        "weights_unreadable",
        "the data of a tensor is not in the file",
    ),
    "safetensors: declares what is not there": (
        lambda: safetensors({"conv_in.weight": {"dtype": "F32", "shape": [2**20], "data_offsets": [0, 4]}}, bytes(4)),
        "weights_values_invalid",
        "of which the file holds 1",
    ),
    "safetensors: a negative place": (
        lambda: safetensors({"conv_in.weight": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, bytes(4)),
        "weights_unreadable",
        "the data of a tensor is not in the file",
    ),
    "safetensors: nested lists": (
        lambda: (100_000).to_bytes(8, "little") + b'{"a":' + b"[" * 99_995 + bytes(8),
        "weights_unreadable",
        "its header is no JSON",
    ),
    "safetensors: a header of 5 MB": (
        lambda: safetensors({"k" * 5_000_000: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        "weights_unreadable",
        "its header has 5,0",
    ),
}


SLOW = ("a deflated gigabyte", "a million steps")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


NOT_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": make_pipe,
    "a socket": make_socket,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
}
