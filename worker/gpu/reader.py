"""Reads the GPUs, and costs nothing where there is no driver."""

import ctypes
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.finetune.gpus import GpuReport
from worker.gpu.no_library import LIBRARY, problem_without_library
from worker.gpu.pytorch_build import PROBLEM_OF_BUILD, is_built_for_cuda

if TYPE_CHECKING:
    from worker.gpu.nvml import Nvml


class GpuReader:
    """Reads the GPUs that CUDA shows to this process. NVML stays open between the readings.

    A reading lasts as long as the driver takes to answer, which a broken one may never do. Not for several threads at
    once.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._nvml: Nvml | None = None

    def read(self) -> GpuReport:
        """Read every GPU. Its report says what went wrong, if anything did."""
        if self._nvml is None:
            try:
                ctypes.CDLL(LIBRARY)
            except OSError:
                return GpuReport(problem=problem_without_library())
            from worker.gpu.nvml import Nvml  # its import takes 0.2 s

            self._nvml = Nvml(self._environ)
        report = self._nvml.read()
        if report.gpus and not is_built_for_cuda():
            return GpuReport(problem=PROBLEM_OF_BUILD, cuda_version=report.cuda_version)
        return report
