"""Recognises the formats of weights files, and names those that no network is read from."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from app.finetune.user_files import FileRefused, open_file
from app.finetune.weights_errors import (
    SAVE_STATE_DICT,
    WeightsError,
    WeightsMissing,
    WeightsOtherFormat,
    WeightsQuantized,
    WeightsUnreadable,
)

_HEAD_BYTES = 512
_CODE_BYTES = 2**20
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_SAVE_TENSORS = f"load it with the library of that format, and save the tensors for PyTorch: {SAVE_STATE_DICT}"


Format = Literal["zip", "pickle", "safetensors"]
"""A zip archive is what torch.save writes since PyTorch 1.6; a bare pickle is what it wrote before."""


def format_of(path: Path) -> Format:
    """As `format_of_file`, of the file at this path."""
    with open_weights(path) as file:
        return format_of_file(file, path)


def open_weights(path: Path) -> BinaryIO:
    """Raises WeightsMissing, WeightsOtherFormat for a folder or a device, and WeightsUnreadable."""
    try:
        return open_file(path)
    except FileNotFoundError:
        raise WeightsMissing(path) from None
    except FileRefused as refused:
        if refused.kind is None:
            raise WeightsUnreadable(path, refused.strerror or "") from None
        hint = "name the file of the weights in it" if path.is_dir() else "name a file that torch.save wrote"
        raise WeightsOtherFormat(path, refused.kind, hint) from None
    except OSError as error:
        raise WeightsUnreadable(path, error.strerror or str(error)) from None


def format_of_file(file: BinaryIO, path: Path) -> Format:
    """The format of the open file, by its first bytes and, of an archive, by its table.

    Raises the WeightsError that names the format, unless it looks like one of these.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if not head:
        raise WeightsUnreadable(path, "it is empty (0 bytes)")
    if _is_zipfile(file, path):
        _refuse_other_archives(file, path)
        return "zip"
    if head.startswith(b"PK\x03\x04"):
        raise WeightsUnreadable(path, f"the zip archive is cut short after {size:,} bytes")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "safetensors"
    if head.startswith(_PICKLE_STARTS):
        return "pickle"
    raise _named(path, head) or WeightsUnreadable(
        path, "it is neither a zip archive nor a pickle, nor a safetensors file"
    )


def _is_zipfile(file: BinaryIO, path: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile as error:
        raise WeightsUnreadable(path, str(error)) from None


def _named(path: Path, head: bytes) -> WeightsOtherFormat | None:
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return WeightsOtherFormat(path, "an HTML page", "download the file itself, not the page that links to it")
    if text.startswith(b"version https://git-lfs"):
        return WeightsOtherFormat(
            path, "a Git LFS pointer", "`git lfs pull` in its repository downloads the file itself"
        )
    if head.startswith(b"\x89HDF"):
        return WeightsOtherFormat(path, "an HDF5 file, as Keras writes", _SAVE_TENSORS)
    if path.suffix.lower() == ".onnx" or (head[:1] == b"\x08" and b"pytorch" in head[:64]):
        return WeightsOtherFormat(path, "an ONNX model", "use the weights of PyTorch that it was exported from")
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")) or head[257:262] == b"ustar":
        return WeightsOtherFormat(path, "an archive", "unpack it, and name the file of the weights in it")
    return None


def _refuse_other_archives(file: BinaryIO, path: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                raise _torchscript(path, archive, names)
    except (WeightsError, MemoryError):
        raise
    except Exception as error:  # zipfile raises many exceptions for a damaged archive
        raise WeightsUnreadable(path, str(error) or type(error).__name__) from None
    if not any(name.endswith("/data.pkl") and name.count("/") == 1 for name in names):
        raise WeightsOtherFormat(
            path, "a zip archive of other files", "unpack it, and name the file of the weights in it"
        )


def _torchscript(path: Path, archive: zipfile.ZipFile, names: Sequence[str]) -> WeightsQuantized | WeightsOtherFormat:
    if any(b"quantized" in _start_of(archive, name) for name in names if name.endswith((".py", "/data.pkl"))):
        return WeightsQuantized(path)
    advice = "save its tensors alone: torch.save(torch.jit.load(path).state_dict(), new_path)"
    return WeightsOtherFormat(path, "a TorchScript program", advice)


def _start_of(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as code:
        return code.read(_CODE_BYTES)
