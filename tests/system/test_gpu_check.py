"""gpu-check as it runs on a GPU machine: small on the CPU and on a pretended GPU, and when a group goes wrong."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.groups import GROUPS, Group
from benchmarks.gpu_check.process import FAILED, Order, fork_server, run_apart
from benchmarks.gpu_check.rows import Row, RowFile
from benchmarks.gpu_check.steps import hold, time_steps
from benchmarks.gpu_check.trainings import write_faces
from tests.pretended_gpu import pretended_gpu

REPOSITORY = Path(__file__).parents[2]
ON_CPU = [name for name in GROUPS if name != "compiled again"]  # the same as the one before it
ON_CUDA = ["machine", "correctness", "steps", "recovery", "dsr"]
"""The groups that a pretended GPU reaches, but for a whole job, which is long there."""


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--out", str(out), *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("option", "groups"), [("--tiny", ON_CPU), ("--pretend", ON_CUDA)])
def test_every_requirement_is_met_without_a_gpu(
    option: str, groups: list[str], tmp_path: Path, shared_assets: Path
) -> None:
    done = run(tmp_path, option, "--groups", ",".join(groups), "--assets", str(shared_assets))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [Row(**row) for row in json.loads((tmp_path / "results.json").read_text())["rows"]]
    found = defaultdict(list)
    for row in rows:
        found[row.group].append(row)
        assert row.shown() in done.stdout
    assert [*found] == groups
    assert {name for name in groups if any(row.passed for row in found[name])} >= {"correctness", "recovery", "dsr"}


@pytest.mark.slow
def test_steps_have_the_name_of_the_way_that_they_were_computed(
    tmp_path: Path, shared_assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eager ones replay nothing; and where graphs are wrong, the eager steps in their place fail the check."""
    rows = RowFile(tmp_path / "rows.jsonl")
    check = Check("steps", "pretend", shared_assets, tmp_path, tmp_path, deadline=math.inf, rows=rows)
    with pretended_gpu(memory_bytes=2**34) as gpu:
        inputs = write_faces(check, subjects=4, train_images=3)
        time_steps(check, "eager", hold(check, inputs, "bf16", graphs=False))
        assert gpu.replays == 0
        assert check.failed == []
        monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda _: None)
        time_steps(check, "graph", hold(check, inputs, "bf16"))
    assert check.failed == ["graph, bf16: way of the timed steps"]
    steps = ["eager, bf16: a step", "eager, bf16: rate"]
    names = [row.name for row in rows.read() if "way of" not in row.name]
    assert names == [*steps, *steps]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.slow
def test_without_a_gpu_it_says_what_to_do_instead(tmp_path: Path) -> None:
    done = run(tmp_path, "--groups", "machine")
    assert done.returncode == 2
    assert done.stderr.startswith("No GPU is available to PyTorch")
    assert "--tiny" in done.stderr


def succeed(check: Check) -> None:
    check.at_most("fine", 1, 2)


def miss(check: Check) -> None:
    def raise_an_error(_: Check) -> None:
        raise RuntimeError("a section of its own")

    check.section(raise_an_error)
    check.at_most("after it", 1, 2)


def crash(_: Check) -> None:
    raise ImportError("nothing works")


def die(_: Check) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(check: Check) -> None:
    """With a process of its own, which must not outlive the group."""
    child = subprocess.Popen(["sleep", "600"])
    check.note("child", str(child.pid))
    time.sleep(600)


def lose_the_gpu(check: Check) -> None:
    def launch(_: Check) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    check.section(launch)
    check.note("after it", 1)


@pytest.mark.slow
def test_a_group_that_goes_wrong_takes_no_other_with_it(tmp_path: Path) -> None:
    processes = fork_server(["benchmarks.gpu_check.check"])
    rows = RowFile(tmp_path / "rows.jsonl")

    def end_of(function: str, seconds: float = 60) -> int | str:
        group = Group(function, f"{__name__}:{function}", 0)
        return run_apart(processes, Order(group, "tiny", tmp_path, tmp_path, tmp_path / "rows.jsonl", seconds))

    assert end_of("crash") == 1
    assert end_of("die") == "died of SIGSEGV"
    assert end_of("hang", 3) == "killed after 8 s"
    assert end_of("lose_the_gpu") == FAILED
    assert end_of("miss") == FAILED
    assert end_of("succeed") == 0
    found = {(row.group, row.name): row for row in rows.read()}
    assert not Path(f"/proc/{found['hang', 'child'].value}").exists()
    assert found["miss", "raise an error: raised"].value == "RuntimeError: a section of its own"
    assert found["miss", "after it"].passed
    assert found["succeed", "fine"].passed
    assert ("lose_the_gpu", "after it") not in found


@pytest.mark.slow
def test_the_kit_runs_by_its_own_source(tmp_path: Path) -> None:
    """Without wheels, which need a network: the packages here take their place."""
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    environment = {**os.environ, "WHEELS": "no", "EDGEFACE_TEST_ASSETS": str(tmp_path / "none")}
    packed = subprocess.run(
        ["scripts/gpu-kit.sh", checkout], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert "bash .gpu/run.sh" in packed.stdout
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout
    assert status == ""
    shutil.rmtree(checkout / ".gpu" / "wheels")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", ".gpu/run.sh", "--tiny", "--groups", "machine,dsr", "--out", "out"],
        cwd=checkout,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / "out" / "results.json").is_file()
