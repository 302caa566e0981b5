"""GPUs in words."""

from humanize import naturalsize

from app.api_models.health import WorkerView
from app.finetune.gpus import GpuReading, GpuUse


def worker_lines(worker: WorkerView) -> list[str]:
    """Return a line for each GPU of a worker, or one that says why there is none."""
    lines = [f"worker {worker.id}: {reading_line(reading)}" for reading in worker.gpus]
    if not lines and worker.gpu_problem is not None:
        lines.append(f"worker {worker.id}: no GPU: {worker.gpu_problem.message}")
    return lines


def reading_line(reading: GpuReading) -> str:
    """Return a line such as `GPU 0, NVIDIA H200: 3.2 GB of 150.8 GB used, 97% busy, 612 W, 64 °C`."""
    if reading.problem is not None:
        return f"{_name(reading)}: {reading.problem.message}"
    return _line(
        reading,
        None if reading.memory_used_bytes is None else f"{_memory(reading, reading.memory_used_bytes)} used",
        None if reading.utilization_percent is None else f"{reading.utilization_percent}% busy",
        None if reading.power_watts is None else f"{reading.power_watts:.0f} W",
        None if reading.temperature_celsius is None else f"{reading.temperature_celsius} °C",
    )


def use_line(use: GpuUse) -> str:
    """Return a line with the largest values of the readings, and how busy the GPU was on average."""
    reading, mean = use.reading, use.mean_utilization_percent
    if reading is None:
        return f"GPU: {use.problem.message}; {use.problem.hint}" if use.problem else "GPU"
    return _line(
        reading,
        None if use.peak_memory_used_bytes is None else f"at most {_memory(reading, use.peak_memory_used_bytes)} used",
        None if mean is None else f"{mean:.0f}% busy on average",
        None if use.peak_power_watts is None else f"at most {use.peak_power_watts:.0f} W",
        None if use.peak_temperature_celsius is None else f"at most {use.peak_temperature_celsius} °C",
    )


def _line(reading: GpuReading, *parts: str | None) -> str:
    known = ", ".join(part for part in parts if part is not None)
    return f"{_name(reading)}: {known}" if known else _name(reading)


def _name(reading: GpuReading) -> str:
    return f"GPU {reading.index}, {reading.name}"


def _memory(reading: GpuReading, used: int) -> str:
    total = reading.memory_total_bytes
    return naturalsize(used) if total is None else f"{naturalsize(used)} of {naturalsize(total)}"
