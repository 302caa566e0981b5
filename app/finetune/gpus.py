"""Readings of GPUs: workers take them, rows keep them and the API sends them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

GpuProblemCode = Literal[
    "no_driver",
    "no_gpu",
    "gpus_hidden",
    "container_without_gpu",
    "library_missing",
    "driver_not_loaded",
    "driver_mismatch",
    "no_permission",
    "gpu_lost",
    "order_unknown",
    "pytorch_without_cuda",
    "nvml_failed",
    "nvml_silent",
]
_ABSENT: tuple[GpuProblemCode, ...] = ("no_driver", "no_gpu", "gpus_hidden")
"""Nothing is wrong: the machine has no GPU, or its owner hides it."""


class GpuProblem(BaseModel):
    """Why a GPU cannot be read, and what to do."""

    model_config = ConfigDict(frozen=True)

    code: str = Field(description="Such as `driver_mismatch`: docs/operations.md lists them.")
    message: str
    hint: str

    @property
    def absent(self) -> bool:
        return self.code in _ABSENT


class GpuReading(BaseModel):
    """A GPU at one moment, by NVML. A value is null where the GPU or its driver does not report it."""

    model_config = ConfigDict(frozen=True)

    index: int = Field(description="The number that nvidia-smi shows. For a MIG instance that of its GPU.")
    uuid: str
    name: str
    memory_used_bytes: int | None = Field(None, description="By all processes, and by the driver.")
    memory_total_bytes: int | None = None
    utilization_percent: int | None = Field(
        None, description="Share of the last second, or of a part of it, in which a kernel ran."
    )
    power_watts: float | None = None
    temperature_celsius: int | None = None
    driver_version: str | None = None
    problem: GpuProblem | None = Field(None, description="Why the GPU could not be read.")

    @property
    def memory_free_bytes(self) -> int | None:
        if self.memory_used_bytes is None or self.memory_total_bytes is None:
            return None
        return self.memory_total_bytes - self.memory_used_bytes


class GpuReport(BaseModel):
    """The GPUs that CUDA shows to a process: number N is its `cuda:N`."""

    model_config = ConfigDict(frozen=True)

    gpus: tuple[GpuReading, ...] = ()
    problem: GpuProblem | None = Field(None, description="Why `gpus` is empty, or lacks one.")
    cuda_version: str | None = Field(None, description="Newest version of CUDA that the driver supports, as in 13.0.")


class GpuUse(BaseModel):
    """The GPU of an attempt, read every two seconds while its trainer runs. Other programs on the GPU count too.

    A value is null where the GPU does not report it.
    """

    model_config = ConfigDict(frozen=True)

    reading: GpuReading | None = Field(None, description="The newest; null: there is none.")
    readings: int = 0
    peak_memory_used_bytes: int | None = None
    peak_power_watts: float | None = None
    peak_temperature_celsius: int | None = None
    mean_utilization_percent: float | None = None
    problem: GpuProblem | None = Field(None, description="Why the GPU cannot be read now.")


class GpuCheck(BaseModel):
    """One check of `edgeface-finetune doctor --gpu`. `hint` says what to do if it did not pass."""

    check: str
    device: str | None = Field(None, description="As in cuda:0; null: the check is not one of a GPU.")
    passed: bool
    message: str
    hint: str | None = None
