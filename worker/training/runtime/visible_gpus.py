"""Whether this machine has a GPU, by the files of the system alone: CUDA cannot tell where its driver is broken."""

import ctypes
import os
import re
from pathlib import Path

ROOT = Path("/")
"""Of the file system that is looked at."""

_DRIVER = "libcuda.so.1"
_NVIDIA = "0x10de"
_DISPLAY_CONTROLLERS = "0x03"


def has_gpu() -> bool:
    """Whether this process should find a GPU: NVIDIA's driver made a device file for one, or it is installed and the
    PCI bus shows one; and CUDA_VISIBLE_DEVICES does not hide all."""
    return not _all_hidden() and (_has_device_file() or (_on_pci_bus() and _driver_is_installed()))


def _all_hidden() -> bool:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return chosen is not None and re.match(r"\s*(\d|GPU-|MIG-)", chosen) is None


def _has_device_file() -> bool:
    return any(path.name.removeprefix("nvidia").isdecimal() for path in (ROOT / "dev").glob("nvidia*"))


def _on_pci_bus() -> bool:
    return any(
        _text(device / "vendor") == _NVIDIA and _text(device / "class").startswith(_DISPLAY_CONTROLLERS)
        for device in (ROOT / "sys/bus/pci/devices").glob("*")
    )


def _driver_is_installed() -> bool:
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
