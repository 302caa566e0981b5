"""What gpu-check does with its results: rows that survive, and the section of docs/performance.md."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_check import page
from benchmarks.gpu_check.__main__ import conclude
from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.rows import Row, RowFile

FASTER = Row.of("steps", "eager, bf16: a step", [9.0, 7.0, 8.0], "ms")
WRONG = Row("correctness", "float32: error of the gradient", 0.5, reference="at most 0.005", passed=False)
RIGHT = Row("correctness", "bf16: error | gradient", 0.02, reference="at most 0.04", passed=True)
MACHINE = {
    "measured_at": "2026-12-01T10:00:00Z",
    "commit": "abcdef",
    "accelerator": "NVIDIA H200",
    "cores": 16,
    "cpu": "Some CPU",
    "memory_gb": 128.0,
    "packages": {"torch": "2.11.0"},
}


def results(mode: str = "gpu") -> dict[str, Any]:
    return {"mode": mode, "machine": MACHINE, "seconds": 300.0, "rows": [asdict(row) for row in (FASTER, WRONG, RIGHT)]}


def test_a_row_has_the_median_and_the_spread() -> None:
    assert (FASTER.value, FASTER.minimum, FASTER.maximum, FASTER.n) == (8.0, 7.0, 9.0, 3)
    assert "8 ms [7, 9] n=3" in FASTER.shown()
    assert WRONG.shown().startswith("FAIL")
    with pytest.raises(ValueError, match="nothing was measured"):
        Row.of("steps", "none", [], "ms")


def test_rows_are_read_back_though_the_last_one_was_cut_short(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    assert file.read() == []
    for row in (FASTER, WRONG):
        file.append(row)
    with (tmp_path / "rows.jsonl").open("a") as end:
        end.write('{"group": "st')
    assert file.read() == [FASTER, WRONG]


def test_the_performance_page_has_the_section_of_the_kept_results() -> None:
    """After `python -m benchmarks.gpu_check.page` nothing is left to write."""
    kept = json.loads(page.RESULTS.read_text()) if page.RESULTS.is_file() else None
    text = page.PAGE.read_text()
    assert page.with_section(text, kept) == text


def test_the_section_is_written_once_and_says_what_was_not_met(tmp_path: Path) -> None:
    file, kept, given = tmp_path / "performance.md", tmp_path / "kept.json", tmp_path / "results.json"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    given.write_text(json.dumps(results()))
    places = ["--page", str(file), "--kept", str(kept)]
    assert page.main([str(given), *places]) == 0
    text = file.read_text()
    assert "| eager, bf16: a step | 8 ms | 7 to 9 | 3 |  |" in text
    assert "1 of 2 requirements were met" in text
    assert "not met: correctness: float32: error of the gradient: 0.5" in text
    assert "bf16: error \\| gradient" in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert page.main(places) == 0
    assert file.read_text() == text
    kept.unlink()
    assert page.main(places) == 0
    assert "No figure was measured on a GPU." in file.read_text()


@pytest.mark.parametrize("mode", ["tiny", "pretend"])
def test_results_without_a_gpu_are_not_written(mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, file = tmp_path / "results.json", tmp_path / "performance.md"
    given.write_text(json.dumps(results(mode)))
    assert page.main([str(given), "--page", str(file), "--kept", str(tmp_path / "kept.json")]) == 1
    assert "not measured on a GPU" in capsys.readouterr().err
    assert not file.exists()


def test_what_did_not_run_is_listed_and_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def late(check: Check) -> None:
        check.require("reached", False, 0)

    file = RowFile(tmp_path / "rows.jsonl")
    check = Check("dsr", "gpu", tmp_path, tmp_path, tmp_path, deadline=time.monotonic(), rows=file)
    check.section(late)
    assert check.failed == []
    rows = [RIGHT, *file.read(), Row.not_run("peers", "the group", "3 s of the budget were left")]
    assert conclude(rows, 450.0, "gpu") == 0
    printed = capsys.readouterr().out
    assert "1 of 1 requirements met" in printed
    assert "not run: no time was left" in printed
    assert "not run: 3 s of the budget were left" in printed
    assert conclude(rows[1:], 450.0, "gpu") == 1, "nothing was checked"
    assert conclude([*rows, WRONG], 450.0, "gpu") == 1
    section = page.with_section(f"{page.BEGIN}{page.END}", {**results(), "rows": [asdict(row) for row in rows]})
    assert "- peers: the group: not run: 3 s of the budget were left" in section
    assert "| the group |" not in section


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="gpu-check begins"):
        page.with_section("nothing", None)
