"""The GPU of an attempt, summed up from the readings of the machine."""

from collections.abc import Iterator, Sequence

import pytest

from app.finetune.gpus import GpuProblem, GpuReading, GpuReport, GpuUse
from worker.gpu.use import GpuUsage, gpu_number

SILENT = GpuReport(problem=GpuProblem(code="nvml_silent", message="the driver does not answer", hint="restart"))
ABSENT = GpuReport(problem=GpuProblem(code="no_driver", message="there is no driver", hint="nothing"))
LOST = GpuProblem(code="gpu_lost", message="the driver lost a GPU", hint="restart")


def reading(used: int, utilization: int | None, watts: float | None = None, celsius: int | None = None) -> GpuReading:
    return GpuReading(
        index=0,
        uuid="GPU-a",
        name="NVIDIA H200",
        memory_used_bytes=used,
        memory_total_bytes=100,
        utilization_percent=utilization,
        power_watts=watts,
        temperature_celsius=celsius,
    )


def uses(reports: Sequence[GpuReport], device: str = "auto", slot: int = 0) -> Iterator[GpuUse | None]:
    coming = iter(reports)
    usage = GpuUsage(device, slot, lambda: next(coming))
    return (usage.update() for _ in reports)


def test_the_newest_reading_and_the_largest_values_are_kept() -> None:
    readings = [reading(40, 90, 300.0, 50), reading(70, 60, 250.0, 61), reading(10, None, None, None)]
    *_, use = uses([GpuReport(gpus=(each,)) for each in readings])
    assert use == GpuUse(
        reading=readings[-1],
        readings=3,
        peak_memory_used_bytes=70,
        peak_power_watts=300.0,
        peak_temperature_celsius=61,
        mean_utilization_percent=75.0,
    )


def test_the_same_report_counts_once() -> None:
    same = GpuReport(gpus=(reading(40, 90),))
    first, second = uses([same, same])
    assert first is not None
    assert second is None


def test_a_gpu_that_falls_silent_or_is_lost_keeps_its_values_and_says_why() -> None:
    good = reading(40, 90)
    lost = GpuReading(index=0, uuid="GPU-a", name="NVIDIA H200", problem=LOST)
    _, silent, lost_use, again = uses(
        [GpuReport(gpus=(good,)), SILENT, GpuReport(gpus=(lost,)), GpuReport(gpus=(good,))]
    )
    assert silent is not None
    assert lost_use is not None
    assert again is not None
    assert (silent.reading, silent.problem) == (good, SILENT.problem)
    assert (lost_use.reading, lost_use.problem) == (good, LOST)
    assert (again.readings, again.problem) == (2, None)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:3"])
def test_a_job_without_a_gpu_has_no_use(device: str) -> None:
    assert list(uses([ABSENT, GpuReport()], device)) == [None, None]
    assert list(uses([SILENT, GpuReport(gpus=(reading(1, 1),))], "cpu")) == [None, None]


@pytest.mark.parametrize(
    ("device", "slot", "gpus", "expected"),
    [("cpu", 0, 2, None), ("auto", 3, 2, 1), ("cuda", 1, 2, 1), ("cuda:1", 0, 2, 1), ("auto", 0, 0, None)],
)
def test_slots_share_the_gpus_out_unless_the_job_names_one(
    device: str, slot: int, gpus: int, expected: int | None
) -> None:
    assert gpu_number(device, slot, gpus) == expected
