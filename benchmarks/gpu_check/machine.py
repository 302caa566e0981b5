"""The machine: versions, GPU, driver, memory, and the rates that bound everything else."""

import os
import subprocess
import sys
import time
from functools import partial

import torch

from benchmarks.gpu_check.check import Check

_COPIED = 2**28  # bytes


def run(check: Check) -> None:
    check.section(versions)
    if check.device.type == "cuda":
        check.section(gpu)
        check.section(copies)


def versions(check: Check) -> None:
    import timm
    import torchvision  # type: ignore[import-untyped]

    check.note("Python, cores", f"{sys.version.split()[0]}, {len(os.sched_getaffinity(0))}")
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    check.note("torch, CUDA, cuDNN", f"{torch.__version__}, {torch.version.cuda}, {cudnn}")
    check.note("timm, torchvision", f"{timm.__version__}, {torchvision.__version__}")


def gpu(check: Check) -> None:
    """The first tensor comes first: it creates CUDA's context."""
    started = time.perf_counter()
    one = torch.zeros(1, device=check.device)
    check.synchronize()
    check.note("seconds to the first tensor", time.perf_counter() - started, "s")
    capability = ".".join(map(str, torch.cuda.get_device_capability(check.device)))
    check.note(
        "GPU, compute capability, driver", f"{torch.cuda.get_device_name(check.device)}, {capability}, {_driver()}"
    )
    free, total = torch.cuda.mem_get_info(check.device)
    check.note("memory", total / 2**30, "GiB")
    check.note("memory that is free", free / 2**30, "GiB")
    taken = total - free - torch.cuda.memory_reserved(check.device)
    check.note("memory of CUDA's context, and of other processes", taken / 2**20, "MiB")
    launched = check.time_launched(lambda: one.add_(1), check.pick(2000, 3), 5)
    check.measured("an in-place addition, launched by Python", [1e6 * each for each in launched], "us")


def copies(check: Check) -> None:
    size = check.pick(_COPIED, 2**12)
    pageable = torch.empty(size, dtype=torch.uint8)
    pinned, on_device = pageable.pin_memory(), pageable.to(check.device)
    other = torch.empty_like(on_device)
    for name, source in (("pageable memory", pageable), ("pinned memory", pinned)):
        seconds = check.time(partial(on_device.copy_, source, non_blocking=True), 5)
        check.measured(f"copy to the GPU from {name}", [size / each / 1e9 for each in seconds], "GB/s")
    seconds = check.time_launched(lambda: other.copy_(on_device), check.pick(20, 1), 5)
    check.measured("copy on the GPU, bytes read and written", [2 * size / each / 1e9 for each in seconds], "GB/s")


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
