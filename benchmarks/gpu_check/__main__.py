"""`python -m benchmarks.gpu_check --out FOLDER [--tiny | --pretend] [--budget SECONDS] [--groups NAME,NAME]`.

Exit status: 0 if all requirements that were checked are met, 1 if not or if none was checked, 2 if there is no GPU.
What did not run, because the budget was spent, is listed.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import page
from benchmarks.gpu_check.groups import GROUPS, Group
from benchmarks.gpu_check.process import FAILED, KILLED, NO_GPU, Mode, Order, fork_server, run_apart
from benchmarks.gpu_check.rows import Row, RowFile
from benchmarks.support import describe_machine
from worker.process.openmp import let_waiting_threads_sleep

PACKAGES = ("torch", "torchvision", "timm", "triton", "numpy", "pillow")
_NO_GPU = (
    "No GPU is available to PyTorch {version} on this machine: run gpu-check where there is one, or try the command "
    "itself with --tiny (on the CPU) or --pretend (on a pretended GPU)."
)
_SMALL_SECONDS = 300.0
"""For a group without a GPU, where nothing is measured and the machine may be busy."""
_SOURCE = Path(__file__).parents[2]


def main() -> int:
    options = _parser().parse_args()
    mode: Mode = "tiny" if options.tiny else "pretend" if options.pretend else "gpu"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the group's process ends too
    let_waiting_threads_sleep()
    os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler's own log
    started = time.monotonic()
    groups = [GROUPS[name] for name in options.groups]
    processes = fork_server(["worker.training.finetune", *(group.module for group in groups)])
    return _run(processes, groups, options, mode, started)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu-check", description="Checks and times the GPU path.")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for results.json")
    parser.add_argument("--budget", type=float, default=450.0, metavar="SECONDS", help="for everything (default 450)")
    parser.add_argument("--groups", type=_names, default=[*GROUPS], metavar="NAME,...", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--assets", type=Path, default=Path(os.environ.get("EDGEFACE_TEST_ASSETS", "../shared")))
    without_gpu = parser.add_mutually_exclusive_group()
    without_gpu.add_argument("--tiny", action="store_true", help="small, on the CPU; its figures mean nothing")
    without_gpu.add_argument("--pretend", action="store_true", help="small, on a pretended GPU; likewise")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - GROUPS.keys():
        raise argparse.ArgumentTypeError(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    return names


def _run(
    processes: ForkServerContext, groups: Sequence[Group], options: argparse.Namespace, mode: Mode, started: float
) -> int:
    """Run the groups, and write results.json after each of them: a run that is killed leaves what it found."""
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out.absolute() / "rows.jsonl"
    path.unlink(missing_ok=True)
    rows, about = RowFile(path), {"mode": mode, "machine": _describe()}
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as kept:
        for group in groups:
            left = options.budget - (time.monotonic() - started)
            if mode == "gpu" and left < group.least:
                why = f"{max(left, 0):.0f} s of the budget were left, of {group.least:g} that it needs"
                rows.append(Row.not_run(group.name, "the group", why))
                continue
            print(f"== {group.name}", flush=True)
            limit = min(group.limit, left) if mode == "gpu" else _SMALL_SECONDS
            order = Order(group, mode, options.assets.absolute(), Path(kept), path, limit)
            ended = run_apart(processes, order)
            if ended == NO_GPU:
                print(_NO_GPU.format(version=version("torch")), file=sys.stderr)
                return NO_GPU
            if ended not in (0, FAILED):
                words = f"ended with status {ended}" if isinstance(ended, int) else ended
                if limit < group.limit and words.startswith(KILLED):
                    rows.append(Row.not_run(group.name, "the rest of the group", f"{words}, when the budget was spent"))
                else:
                    rows.append(Row(group.name, "the process of the group", words, passed=False))
            _write(options.out / "results.json", {**about, "seconds": round(time.monotonic() - started, 1)}, rows)
    if mode == "gpu" and page.PAGE.is_file():  # a kit has none
        page.main([str(options.out / "results.json")])
    return conclude(rows.read(), time.monotonic() - started, mode)


def _describe() -> dict[str, Any]:
    machine = describe_machine(PACKAGES)
    with contextlib.suppress(FileNotFoundError):  # a kit is no checkout
        machine["commit"] = (_SOURCE / "COMMIT").read_text().strip()
    return machine


def _write(path: Path, about: dict[str, Any], rows: RowFile) -> None:
    path.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows.read()]}, indent=1) + "\n")


def conclude(rows: Sequence[Row], seconds: float, mode: Mode) -> int:
    """The exit status, 0 or 1. What did not run is listed."""
    failed = [row for row in rows if row.passed is False]
    required = [row for row in rows if row.passed is not None]
    print(f"\n== {len(required) - len(failed)} of {len(required)} requirements met, in {seconds:.0f} s", flush=True)
    if mode != "gpu":
        print("without a GPU no figure above means anything", flush=True)
    for row in [*failed, *(row for row in rows if not row.ran)]:
        print(f"{row.group}: {row.shown()}", flush=True)
    return 1 if failed or not required else 0


if __name__ == "__main__":
    sys.exit(main())
