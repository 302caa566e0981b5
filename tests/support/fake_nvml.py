"""A machine with GPUs as NVML shows it: fake_nvml.c in place of the driver's library, called by the real bindings."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

GIB = 2**30


@dataclass(frozen=True)
class FakeGpu:
    """A line of the library's file. -1: not supported. `gpu` is the place of the GPU whose MIG instance it is."""

    error: int = 0
    name: str = "NVIDIA H200"
    uuid: str = "GPU-0"
    bus: str = "00000000:01:00.0"
    used: int = 3 * GIB
    total: int = 140 * GIB
    utilization: int = 97
    milliwatts: int = 612_500
    temperature: int = 64
    gpu: int = -1


class FakeNvml:
    """The library, built in `folder`. `environ` is the environment of a process that finds it."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler (cc)")
        source = Path(__file__).with_suffix(".c")
        library = folder / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True)
        self._file = folder / "gpus"
        self.environ = os.environ | {"LD_LIBRARY_PATH": str(folder), "FAKE_NVML": str(self._file)}

    def show(self, gpus: Sequence[FakeGpu], *, init: int = 0) -> None:
        """Set the GPUs, also for a process that runs. `init` is the error of NVML's start; -2: no call
        returns."""
        lines = [str(init), *("|".join(map(str, vars(gpu).values())) for gpu in gpus)]
        aside = self._file.with_suffix(".new")
        aside.write_text("\n".join(lines) + "\n")
        aside.replace(self._file)
