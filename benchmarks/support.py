"""Shared parts of the benchmarks: machine description, figures with spread, tables, JSON and targets."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Minimum and maximum."""
        return min(self.values), max(self.values)

    def shown(self, digits: int = 1) -> str:
        least, most = self.spread
        return f"{self.median:,.{digits}f} ({least:,.{digits}f} to {most:,.{digits}f}, n={len(self.values)})"

    def as_json(self) -> dict[str, Any]:
        least, most = self.spread
        return {"median": self.median, "least": least, "most": most, "values": list(self.values)}


def ratios(ours: Figure, theirs: Figure) -> Figure:
    """Return the ratio of each measurement to the one of the same round."""
    return Figure(tuple(our / their for our, their in zip(ours.values, theirs.values, strict=True)))


@dataclass(frozen=True)
class Target:
    """A lower or an upper limit for a figure."""

    name: str
    got: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        return (self.at_least is None or self.got >= self.at_least) and (
            self.at_most is None or self.got <= self.at_most
        )

    def shown(self) -> str:
        wanted = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{'met   ' if self.met else 'MISSED'} {self.name}: {self.got:.3g}, wanted {wanted}"


@dataclass(frozen=True)
class Table:
    """A titled table of figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def shown(self) -> str:
        cells = [list(self.columns), *map(list, self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join([f"## {self.title}", lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


@dataclass
class Outcome:
    """Result of a benchmark. `figures` go into the JSON; a Figure is written with all its values."""

    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, other: "Outcome") -> None:
        self.tables += other.tables
        self.targets += other.targets
        self.figures |= other.figures


def argument_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="file for the figures")
    parser.add_argument("--check", action="store_true", help="exit 1 and name each target that is missed")
    parser.add_argument(
        "--quick", action="store_true", help="a short run that shows that it works; its figures mean nothing"
    )
    return parser


def describe_machine(packages: Sequence[str]) -> dict[str, Any]:
    """Return processor, cores, memory, accelerator, versions and commit."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "accelerator": _accelerator(),
        "system": platform.platform(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
    }


def report(name: str, machine: dict[str, Any], outcome: Outcome, arguments: argparse.Namespace) -> int:
    """Print the tables and write the JSON. Return the exit status: 1 if `--check` is given and a target is missed."""
    lines = [f"# {name}{' (quick: figures mean nothing)' if arguments.quick else ''}", *_machine_lines(machine)]
    lines += ["", *("\n" + table.shown() for table in outcome.tables), ""]
    lines += [target.shown() for target in outcome.targets]
    print("\n".join(lines), flush=True)
    result = {
        "benchmark": name,
        "quick": arguments.quick,
        "machine": machine,
        "figures": outcome.figures,
        "targets": [asdict(target) | {"met": target.met} for target in outcome.targets],
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1, default=_as_json) + "\n")
    missed = [target.name for target in outcome.targets if not target.met]
    if missed and arguments.check:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


def _as_json(value: object) -> dict[str, Any]:
    if isinstance(value, Figure):
        return value.as_json()
    raise TypeError(f"{value!r} cannot be written as JSON")


def _machine_lines(machine: dict[str, Any]) -> list[str]:
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return [
        f"{machine['measured_at']}, commit {machine['commit']}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['accelerator'] or 'no GPU'}, "
        f"load {machine['load_at_start']} at the start",
        f"{machine['system']}, Python {machine['python']}, {packages}",
    ]


def _cpu() -> str:
    if not Path("/proc/cpuinfo").is_file():
        return platform.processor() or platform.machine()
    with Path("/proc/cpuinfo").open() as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _accelerator() -> str | None:
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (", changed" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
