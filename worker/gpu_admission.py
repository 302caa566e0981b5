"""Which jobs may start on the GPUs of this machine, and on which."""

import threading
import time
from collections.abc import Callable

from app.finetune.gpus import GpuProblemCode, GpuReport
from app.settings import Settings
from worker.gpu.leases import GpuLease, GpuLeases, GpuMemoryShort, MemoryNeed, NoGpuFree
from worker.gpu.pytorch_build import is_built_for_cuda
from worker.training.runtime.visible_gpus import has_gpu

_NO_FAULT: tuple[GpuProblemCode, ...] = (
    "container_without_gpu",
    "library_missing",
    "order_unknown",
    "pytorch_without_cuda",
)
"""No GPU can be seen here, or PyTorch can use none; one that PyTorch finds nevertheless works."""

_NEWER_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class GpuAdmission:
    """Of the jobs of one pass through the queue.

    `newest` returns the newest report of the machine's GPUs, the same object until there is a newer one.
    """

    def __init__(self, settings: Settings, newest: Callable[[], GpuReport], stopping: threading.Event) -> None:
        self._leases = GpuLeases(settings.var_dir / "gpus", settings.jobs_per_gpu)
        self._newest = newest
        self._stopping = stopping
        self._has_waited = False

    def admit(self, device: str, need: MemoryNeed) -> GpuLease | None:
        """Lease the GPU for a job with this `device` in its config.

        None where the machine has no GPU by this name, or none at all: the trainer then uses the CPU or reports the
        lack. Raises NoGpuFree where the job has to wait.
        """
        if device == "cpu":
            return None
        report = self._newest()
        try:
            return self._lease(device, report, need)
        except GpuMemoryShort:
            # A job that ended a moment ago may still count. One wait is enough for all jobs of the pass.
            if self._has_waited:
                raise
            self._has_waited = True
            return self._lease(device, self._newer_than(report), need)

    def _lease(self, device: str, report: GpuReport, need: MemoryNeed) -> GpuLease | None:
        if report.gpus:
            return self._leases.take(device, report.gpus, need)
        problem = report.problem
        if problem is None or problem.absent or problem.code in _NO_FAULT:
            return None
        if has_gpu() and is_built_for_cuda():
            raise NoGpuFree(f"a GPU: {problem.message}; {problem.hint}")
        return None

    def _newer_than(self, report: GpuReport) -> GpuReport:
        until = time.monotonic() + _NEWER_SECONDS
        while (newest := self._newest()) is report and time.monotonic() < until:
            if self._stopping.wait(_LOOK_SECONDS):
                break
        return newest
