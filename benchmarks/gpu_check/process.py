"""The process of one group. It is forked from a server that has imported torch and never touched CUDA, as the trainer
of a job is: so it begins at once, and what happens to its device ends with it."""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from signal import SIGKILL, Signals
from typing import Literal

from benchmarks.gpu_check.groups import Group
from benchmarks.gpu_check.rows import RowFile

Mode = Literal["gpu", "tiny", "pretend"]
"""On a GPU; small on the CPU; small on a pretended GPU."""

NO_GPU, FAILED = 2, 3
"""Exit statuses of a group: there is no GPU; a requirement was not met. A Python program that raises has 1."""

KILLED = "killed"
"""The first word of the outcome of a group that did not end in time."""

_END_SECONDS = 5.0
"""For a group to end by itself after its limit."""


@dataclass(frozen=True)
class Order:
    """`kept` is a folder that all groups share; `seconds` is the limit."""

    group: Group
    mode: Mode
    assets: Path
    kept: Path
    rows: Path
    seconds: float


def fork_server(modules: Sequence[str]) -> ForkServerContext:
    """A running server that has imported the modules: no group's limit pays for it."""
    processes = get_context("forkserver")
    processes.set_forkserver_preload(list(modules))
    warm_up = processes.Process(target=os.getpid)
    warm_up.start()
    warm_up.join()
    return processes


def run_apart(processes: ForkServerContext, order: Order) -> int | str:
    """The exit status of the group's process, or in words why it has none. Whatever it started ends with it."""
    process = processes.Process(target=_run, args=(order,), name=order.group.name)
    process.start()
    try:
        process.join(order.seconds + _END_SECONDS)
        ended = process.exitcode
    finally:
        _kill(process)
    if ended is None:
        return f"{KILLED} after {order.seconds + _END_SECONDS:.0f} s"
    return f"died of {Signals(-ended).name}" if ended < 0 else int(ended)


def _kill(process: BaseProcess) -> None:
    assert process.pid is not None
    try:
        os.killpg(process.pid, SIGKILL)
    except ProcessLookupError:  # ended, with all that it started; or it has not come to `setsid` yet
        process.kill()
    process.join()


def _run(order: Order) -> None:
    os.setsid()
    import torch

    from benchmarks.gpu_check.check import Check, DeviceLost, pretended

    deadline = time.monotonic() + order.seconds
    if order.mode != "gpu":
        torch.set_num_threads(1)
    elif not torch.cuda.is_available():
        sys.exit(NO_GPU)
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder, pretended(order.mode):
        rows = RowFile(order.rows)
        check = Check(order.group.name, order.mode, order.assets, Path(folder), order.kept, deadline, rows)
        try:
            resolve_name(order.group.run)(check)
        except DeviceLost:
            sys.exit(FAILED)
    used = sum(map(_processor_seconds, (RUSAGE_SELF, RUSAGE_CHILDREN)))
    print(f"   {used:.0f} s of processor", flush=True)
    sys.exit(FAILED if check.failed else 0)


def _processor_seconds(who: int) -> float:
    usage = getrusage(who)
    return usage.ru_utime + usage.ru_stime
