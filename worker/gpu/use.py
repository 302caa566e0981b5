"""The GPU of a job while an attempt runs on it."""

from collections.abc import Callable
from typing import TypeVar

from app.finetune.gpus import GpuReading, GpuReport, GpuUse

_Number = TypeVar("_Number", int, float)


class GpuUsage:
    """Sums the readings of the GPU that an attempt uses. `device` is that of its config; `newest` returns the newest
    report of the machine, the same object until there is a newer one."""

    def __init__(self, device: str, slot: int, newest: Callable[[], GpuReport]) -> None:
        self._device = device
        self._slot = slot
        self._newest = newest
        self._seen: GpuReport | None = None
        self._use = GpuUse()
        self._utilizations = 0

    def update(self) -> GpuUse | None:
        """Return the use if there is a newer report. None if there is none, or the attempt uses no GPU."""
        report = self._newest()
        if report is self._seen or self._device == "cpu":
            return None
        self._seen = report
        number = gpu_number(self._device, self._slot, len(report.gpus))
        if number is not None and number < len(report.gpus):
            self._add(report.gpus[number])
        elif report.problem is not None and not report.problem.absent:
            self._use = self._use.model_copy(update={"problem": report.problem})
        else:
            return None
        return self._use

    def _add(self, reading: GpuReading) -> None:
        if reading.problem is not None:
            self._use = self._use.model_copy(update={"problem": reading.problem})
            return
        before = self._use
        mean = before.mean_utilization_percent
        if reading.utilization_percent is not None:
            self._utilizations += 1
            mean = 0.0 if mean is None else mean
            mean += (reading.utilization_percent - mean) / self._utilizations
        self._use = GpuUse(
            reading=reading,
            readings=before.readings + 1,
            peak_memory_used_bytes=_larger(before.peak_memory_used_bytes, reading.memory_used_bytes),
            peak_power_watts=_larger(before.peak_power_watts, reading.power_watts),
            peak_temperature_celsius=_larger(before.peak_temperature_celsius, reading.temperature_celsius),
            mean_utilization_percent=mean,
        )


def gpu_number(device: str, slot: int, gpus: int) -> int | None:
    """Return N of the `cuda:N` that a job with this device uses in a slot of a worker with so many GPUs. None: it uses
    none. `auto` and `cuda` share the GPUs out among the slots."""
    if device == "cpu" or not gpus:
        return None
    number = device.partition(":")[2]
    return int(number) if number else slot % gpus


def _larger(before: _Number | None, now: _Number | None) -> _Number | None:
    return before if now is None else now if before is None else max(before, now)
