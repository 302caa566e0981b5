"""Writes what gpu-check found into docs/performance.md: `python -m benchmarks.gpu_check.page [results.json]`.

The results are kept in docs/notebook/gpu-check.json, and the section between the markers is made from that file alone,
so a second run changes nothing. Without the file it says that no figure was measured on a GPU.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.groups import GROUPS
from benchmarks.gpu_check.rows import Row

_REPOSITORY = Path(__file__).parents[2]
PAGE = _REPOSITORY / "docs" / "performance.md"
RESULTS = _REPOSITORY / "docs" / "notebook" / "gpu-check.json"
BEGIN, END = "<!-- gpu-check begins: written by benchmarks.gpu_check.page -->", "<!-- gpu-check ends -->"

_NOTHING = "No figure was measured on a GPU."


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Writes the GPU section of docs/performance.md.")
    parser.add_argument("results", type=Path, nargs="?", help="results.json of gpu-check; without it the kept ones")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: docs/performance.md")
    parser.add_argument("--kept", type=Path, default=RESULTS, help="default: docs/notebook/gpu-check.json")
    options = parser.parse_args(arguments)
    if options.results is not None:
        results = json.loads(options.results.read_text())
        if results["mode"] != "gpu":
            print(f"{options.results} was not measured on a GPU: its figures mean nothing", file=sys.stderr)
            return 1
        options.kept.write_text(json.dumps(results, indent=1) + "\n")
    kept = json.loads(options.kept.read_text()) if options.kept.is_file() else None
    options.page.write_text(with_section(options.page.read_text(), kept))
    return 0


def with_section(page: str, results: dict[str, Any] | None) -> str:
    """The page with the section of these results. Raises ValueError where it lacks a marker."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the two lines {BEGIN} and {END}")
    section = _NOTHING if results is None else "\n".join(_section(results))
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def _section(results: dict[str, Any]) -> Iterable[str]:
    rows, machine = [Row(**row) for row in results["rows"]], results["machine"]
    failed, required = [row for row in rows if row.passed is False], [row for row in rows if row.passed is not None]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    yield f"Measured by `make gpu-check` on {machine['measured_at'][:10]}, commit {machine['commit']}:"
    yield ""
    yield f"- {machine['accelerator']}; {machine['cores']} cores of {machine['cpu']}; {machine['memory_gb']:.0f} GB"
    yield from (f"- {row.name}: {row.figure()}" for row in rows if row.group == "machine")
    yield f"- {packages}"
    yield f"- {len(required) - len(failed)} of {len(required)} requirements were met, in {results['seconds']:.0f} s"
    yield from (f"- not met: {row.group}: {row.name}: {row.figure()}" for row in failed)
    yield from (f"- {row.group}: {row.name}: {row.figure()}" for row in rows if not row.ran)
    for group in GROUPS.values():
        found = [row for row in rows if row.group == group.name and row.ran]
        if group.title and found:
            yield from _table(group.title, found)


def _table(title: str, rows: Iterable[Row]) -> Iterable[str]:
    yield from (
        "",
        f"**{title}**",
        "",
        "| | median | minimum to maximum | n | compared with |",
        "|---|---|---|---|---|",
    )
    for row in rows:
        yield f"| {' | '.join(map(_escaped, row.cells()))} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
