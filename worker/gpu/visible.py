"""Which GPUs CUDA shows to a process, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """A GPU, or an instance of a GPU that MIG divides. `handle` is NVML's, `index` the number of the GPU there."""

    handle: Any
    index: int
    uuid: str
    name: str
    bus_id: str
    instance: bool = False


class OrderUnknown(Exception):
    """CUDA numbers the GPUs by their speed, which NVML does not know."""


def visible_devices(devices: Sequence[Device], environ: Mapping[str, str]) -> list[Device]:
    """Return the device of each CUDA number, by CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER as CUDA reads them.

    Source: the CUDA C++ Programming Guide, "CUDA Environment Variables". An entry is a number or the beginning of a
    UUID; the first one that fits no device ends the list, and a repeated one hides all. Of the instances of divided
    GPUs, CUDA shows the first one unless UUIDs name others. Raises OrderUnknown.
    """
    in_order = sorted(devices, key=lambda device: device.bus_id)
    numbered = [device for device in in_order if not device.instance] or in_order[:1]
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    entries = None if chosen is None else [entry.strip() for entry in chosen.split(",")]
    if (entries is None or any(map(str.isdecimal, entries))) and not _order_is_known(numbered, environ):
        raise OrderUnknown
    if entries is None:
        return numbered
    visible: list[Device] = []
    for entry in entries:
        if entry.isdecimal():
            fitting = numbered[int(entry) : int(entry) + 1]
        else:
            fitting = [device for device in in_order if entry and device.uuid.startswith(entry)]
        if len(fitting) != 1:
            break
        if fitting[0] in visible:
            return []
        visible += fitting
    return visible


def _order_is_known(devices: Sequence[Device], environ: Mapping[str, str]) -> bool:
    # CUDA's default is FASTEST_FIRST, which keeps the order of equal GPUs.
    return environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({device.name for device in devices}) <= 1
