"""NVIDIA's management library: the devices that it lists and their readings."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

import pynvml

from app.finetune.gpus import GpuProblem, GpuReading, GpuReport
from worker.gpu.problems import LOST, problem_of
from worker.gpu.visible import Device, OrderUnknown, visible_devices

_Value = TypeVar("_Value")


class Nvml:
    """NVML, opened by the first reading, and again after an error."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._devices: list[Device] | None = None
        self._problem: GpuProblem | None = None
        self._driver_version: str | None = None
        self._cuda_version: str | None = None

    def read(self) -> GpuReport:
        """Read the devices that CUDA shows. Another error than that of one device closes NVML."""
        try:
            if self._devices is None:
                pynvml.nvmlInit()
                self._devices = self._open()
            gpus = tuple(map(self._read_device, self._devices))
        except pynvml.NVMLError as error:
            self._close()
            return GpuReport(problem=problem_of(error))
        return GpuReport(gpus=gpus, problem=self._problem, cuda_version=self._cuda_version)

    def _open(self) -> list[Device]:
        """List the devices. Sets `self._problem` where one or all cannot be used."""
        self._driver_version = _value_or_none(pynvml.nvmlSystemGetDriverVersion)
        cuda = _value_or_none(pynvml.nvmlSystemGetCudaDriverVersion)
        self._cuda_version = None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
        devices, self._problem = [], None
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                devices += _devices_of(index)
            except pynvml.NVMLError as error:
                self._problem = problem_of(error)
        try:
            visible = visible_devices(devices, self._environ)
        except OrderUnknown:
            self._problem = GpuProblem(
                code="order_unknown",
                message="the GPUs are of several kinds, and CUDA numbers them by speed: their numbers are unknown",
                hint="set CUDA_DEVICE_ORDER=PCI_BUS_ID, which is the worker's default",
            )
            return []
        if visible and self._problem is not None and self._problem.code == "no_permission":
            self._problem = None  # a container that was given some of the machine's GPUs
        if not visible and self._problem is None:
            self._problem = _none_visible(len(devices), self._environ.get("CUDA_VISIBLE_DEVICES"))
        return visible

    def _close(self) -> None:
        self._devices = None
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _read_device(self, device: Device) -> GpuReading:
        identity = GpuReading(
            index=device.index, uuid=device.uuid, name=device.name, driver_version=self._driver_version
        )
        try:
            return identity.model_copy(update=_values_of(device.handle))
        except pynvml.NVMLError as error:
            if error.value not in LOST:
                raise
            return identity.model_copy(update={"problem": problem_of(error)})


def _values_of(handle: object) -> dict[str, float | None]:
    """Return the values of a `GpuReading` by their names. Raises NVMLError for a lost device."""
    memory = _value_or_none(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    rates = _value_or_none(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    milliwatts = _value_or_none(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    return {
        "memory_used_bytes": None if memory is None else memory.used,
        "memory_total_bytes": None if memory is None else memory.total,
        "utilization_percent": None if rates is None else rates.gpu,
        "power_watts": None if milliwatts is None else milliwatts / 1000,
        "temperature_celsius": _value_or_none(
            lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
        ),
    }


def _devices_of(index: int) -> list[Device]:
    """Return the GPU, or its instances if MIG divides it."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    bus_id = pynvml.nvmlDeviceGetPciInfo(handle).busId

    def device(handle: object, *, instance: bool) -> Device:
        uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
        return Device(handle, index, uuid, name, bus_id, instance)

    mode = _value_or_none(lambda: pynvml.nvmlDeviceGetMigMode(handle))
    if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
        return [device(handle, instance=False)]
    return [device(each, instance=True) for each in _instances(handle)]


def _instances(handle: object) -> Iterator[object]:
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError_NotFound):
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)


def _none_visible(count: int, chosen: str | None) -> GpuProblem:
    if not count:
        return GpuProblem(
            code="no_gpu",
            message="the NVIDIA driver shows no GPU",
            hint="run `nvidia-smi -L`; in a container: start it with `--gpus all`",
        )
    return GpuProblem(
        code="gpus_hidden",
        message=f"CUDA_VISIBLE_DEVICES={chosen} hides every GPU",
        hint="unset CUDA_VISIBLE_DEVICES, or set it to numbers or UUIDs that `nvidia-smi -L` shows",
    )


def _value_or_none(query: Callable[[], _Value]) -> _Value | None:
    """Return None where the device or the driver does not support the query. Raises NVMLError for a lost device."""
    try:
        return query()
    except pynvml.NVMLError as error:
        if error.value in (*LOST, pynvml.NVML_ERROR_UNINITIALIZED):
            raise
        return None
