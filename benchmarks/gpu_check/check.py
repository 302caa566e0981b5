"""What a group of checks works with: the device, the inputs, its deadline, and where its results go."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks.gpu_check.process import Mode
from benchmarks.gpu_check.rows import Row, RowFile, Value

_LEAST_SECONDS = 2.0


class DeviceLost(Exception):
    """An error of CUDA after which nothing works in this process."""


@dataclass(frozen=True)
class Check:
    """One group in its process. `assets` has faces/orl_aligned and weights/edgeface_xxs.pt, or not; `folder` is
    the group's own and `kept` that of all groups; both are temporary. `deadline` is a time of `time.monotonic`."""

    group: str
    mode: Mode
    assets: Path
    folder: Path
    kept: Path
    deadline: float
    rows: RowFile
    failed: list[str] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.mode == "tiny" else torch.device("cuda", 0)

    @property
    def is_gpu(self) -> bool:
        """Whether this is a real GPU: elsewhere nothing is measured, only run."""
        return self.mode == "gpu"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()

    def pick(self, on_gpu: int, small: int) -> int:
        """A size on a GPU, and a small one elsewhere."""
        return on_gpu if self.is_gpu else small

    def note(self, name: str, value: Value, unit: str = "", *, reference: Value | None = None) -> None:
        """Record a figure of which nothing is required."""
        self.rows.append(Row(self.group, name, value, unit, reference=reference))

    def measured(self, name: str, values: Sequence[float], unit: str, *, reference: Value | None = None) -> None:
        """Record repeated measurements."""
        self.rows.append(Row.of(self.group, name, values, unit, reference=reference))

    def require(self, name: str, passed: bool, value: Value, unit: str = "", *, reference: Value | None = None) -> None:
        """Record a figure that must be right. A wrong one makes the whole command fail."""
        if not passed:
            self.failed.append(name)
        self.rows.append(Row(self.group, name, value, unit, reference=reference, passed=passed))

    def at_most(self, name: str, value: float, most: float, unit: str = "") -> None:
        """Require a figure of `most` or less; NaN is more."""
        self.require(name, value <= most, value, unit, reference=f"at most {most:g}")

    def section(self, function: Callable[["Check"], None]) -> None:
        """Run a part of the group. One that raises has failed, and the next one follows. Without time left it
        does not run, which is no failure.

        Raises DeviceLost where CUDA does not work any more.
        """
        name = function.__name__.strip("_").replace("_", " ")
        if self.left < _LEAST_SECONDS:
            self.rows.append(Row.not_run(self.group, name, "no time was left"))
            return
        print(f"-- {name} ({self.left:.0f} s left)", flush=True)
        try:
            function(self)
        except Exception as error:
            self.require(f"{name}: raised", False, f"{type(error).__name__}: {str(error)[:300]}")
            print("\n".join(traceback.format_exc().splitlines()[-12:]), flush=True)
            if isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error):
                raise DeviceLost(name) from error

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time(self, work: Callable[[], object], times: int, *, warm: int = 1) -> list[float]:
        """Seconds of each of `times` calls, each waited for, after `warm` calls that are not timed."""
        for _ in range(warm):
            work()
        self.synchronize()
        seconds = []
        for _ in range(times):
            started = time.perf_counter()
            work()
            self.synchronize()
            seconds.append(time.perf_counter() - started)
        return seconds

    def time_launched(self, work: Callable[[], object], calls: int, blocks: int) -> list[float]:
        """Seconds of one call, by each of `blocks` blocks of `calls` calls with a single wait at the end of a block."""

        def block() -> None:
            for _ in range(calls):
                work()

        return [seconds / calls for seconds in self.time(block, blocks)]


@contextmanager
def pretended(mode: Mode) -> Iterator[None]:
    """The pretended GPU, where `mode` asks for it."""
    if mode != "pretend":
        yield
        return
    from tests.pretended_gpu import pretended_gpu

    with pretended_gpu(memory_bytes=2**34):
        yield
