"""The test of the GPUs of this machine, for `edgeface-finetune doctor --gpu`."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import IO, cast

from app.cli.gpus import reading_line
from app.finetune.gpus import GpuCheck, GpuReport
from worker.gpu.monitor import GpuMonitor
from worker.gpu.reader import GpuReader

LIMIT_SECONDS = 60.0
"""For one check. The first one loads PyTorch and starts CUDA."""
_KILL_SECONDS = 2.0
"""A process that hangs in the driver cannot be killed."""


def check_gpus() -> Iterator[GpuCheck]:
    """Yield each check when it has ended: the driver here, the rest in a process that may crash or hang."""
    if find_spec("torch") is None or find_spec("pynvml") is None:
        yield _failed("pytorch", "PyTorch is not installed here", "run this in the worker's environment or image")
        return
    environ = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ}  # as the worker
    monitor = GpuMonitor(GpuReader(environ))
    monitor.start()
    report = monitor.newest()
    monitor.stop()
    yield from _check_driver(report)
    # CUDA can work where NVML does not.
    if report.problem is None or not report.problem.absent:
        yield from run_checks([sys.executable, "-m", "worker.cli.gpu_self_test"], environ)


def _check_driver(report: GpuReport) -> Iterator[GpuCheck]:
    if report.problem is not None:
        yield _failed("driver", report.problem.message, report.problem.hint)
    for number, gpu in enumerate(report.gpus):
        passed, hint = (True, None) if gpu.problem is None else (False, gpu.problem.hint)
        message = f"{reading_line(gpu)}; driver {gpu.driver_version}, CUDA {report.cuda_version}"
        yield GpuCheck(check="driver", device=f"cuda:{number}", passed=passed, message=message, hint=hint)


def run_checks(
    command: Sequence[str], environ: Mapping[str, str], limit_seconds: float = LIMIT_SECONDS
) -> Iterator[GpuCheck]:
    """Yield the checks that the process prints, and a failure if it does not end well."""
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(cast("IO[str]", process.stdout), lines), daemon=True).start()
    try:
        while (line := lines.get(timeout=limit_seconds)) is not None:
            yield GpuCheck.model_validate_json(line)
    except queue.Empty:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_SECONDS)
        yield _failed(
            "process",
            f"the next check did not end within {limit_seconds:.0f} seconds",
            "run `nvidia-smi`: if it hangs too, restart the machine; else end the other programs on the GPU and repeat",
        )
        return
    if (status := process.wait()) != 0:
        yield _failed(
            "process", f"the process of the checks ended with status {status}", "see its output above and `dmesg`"
        )


def _read_lines(output: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    with output:
        for line in output:
            lines.put(line)
    lines.put(None)


def _failed(check: str, message: str, hint: str) -> GpuCheck:
    return GpuCheck(check=check, passed=False, message=message, hint=hint)
