"""What a worker reads of its GPUs, through NVIDIA's own bindings and a library in place of the driver's."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import pytest

from app.finetune.gpus import GpuProblemCode, GpuReport
from tests.support.fake_nvml import GIB, FakeGpu, FakeNvml
from tests.support.pytorch_files import write_pytorch
from worker.gpu.no_library import problem_without_library

FIRST = FakeGpu(uuid="GPU-aaaa")
SECOND = FakeGpu(uuid="GPU-bbbb", bus="00000000:81:00.0", used=GIB)
LOST, MISMATCH, NO_PERMISSION, NOT_LOADED, UNINITIALIZED, UNKNOWN = 15, 18, 4, 9, 1, 999

READ = """
import json, sys
from worker.gpu.reader import GpuReader
readers = {}
for line in sys.stdin:
    reader = readers.setdefault(line, GpuReader(json.loads(line)))
    print(reader.read().model_dump_json(), flush=True)
"""


@dataclass(frozen=True)
class State:
    """Of a machine: its GPUs, the error of NVML's start, and the environment of the reader."""

    gpus: Sequence[FakeGpu]
    init: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)


def read(nvml: FakeNvml, *states: State) -> list[GpuReport]:
    """The readings of one process in each state, by one reader for each environment."""
    process = subprocess.Popen(
        [sys.executable, "-c", READ], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=nvml.environ
    )
    reports = []
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for state in states:
            nvml.show(state.gpus, init=state.init)
            process.stdin.write(json.dumps(state.environ) + "\n")
            process.stdin.flush()
            reports.append(GpuReport.model_validate_json(process.stdout.readline()))
        process.stdin.close()
    return reports


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> FakeNvml:
    return FakeNvml(tmp_path_factory.mktemp("nvml"))


def test_each_gpu_is_read_with_what_it_reports(nvml: FakeNvml) -> None:
    virtual = replace(SECOND, total=-1, utilization=-1, milliwatts=-1, temperature=-1)
    (report,) = read(nvml, State([FIRST, virtual]))
    assert report.problem is None
    assert report.cuda_version == "13.0"
    whole, bare = report.gpus
    assert whole.model_dump() == {
        "index": 0,
        "uuid": "GPU-aaaa",
        "name": "NVIDIA H200",
        "memory_used_bytes": 3 * GIB,
        "memory_total_bytes": 140 * GIB,
        "utilization_percent": 97,
        "power_watts": 612.5,
        "temperature_celsius": 64,
        "driver_version": "580.65.06",
        "problem": None,
    }
    assert whole.memory_free_bytes == 137 * GIB
    assert bare.model_dump(exclude_none=True) == {
        "index": 1,
        "uuid": "GPU-bbbb",
        "name": "NVIDIA H200",
        "driver_version": "580.65.06",
    }
    assert bare.memory_free_bytes is None


def test_each_failure_is_told_with_what_to_do_and_ends_with_its_cause(nvml: FakeNvml) -> None:
    failing = [MISMATCH, NO_PERMISSION, NOT_LOADED, UNKNOWN]
    *failed, well = read(nvml, *(State([FIRST], error) for error in failing), State([FIRST]))
    told = [report.problem for report in failed if report.problem is not None and report.gpus == ()]
    assert [problem.code for problem in told] == [
        "driver_mismatch",
        "no_permission",
        "driver_not_loaded",
        "nvml_failed",
    ]
    assert "restart the machine" in told[0].hint
    assert "--gpus all" in told[1].hint
    assert "modprobe nvidia" in told[2].hint
    assert not any(problem.absent for problem in told)
    assert [gpu.uuid for gpu in well.gpus] == ["GPU-aaaa"]


def test_after_a_failure_the_gpus_are_listed_again(nvml: FakeNvml) -> None:
    _, failed, again = read(nvml, State([FIRST]), State([replace(FIRST, error=UNINITIALIZED)]), State([FIRST, SECOND]))
    assert failed.problem is not None
    assert [gpu.uuid for gpu in again.gpus] == ["GPU-aaaa", "GPU-bbbb"]


def test_a_lost_gpu_keeps_its_place_and_the_others_their_values(nvml: FakeNvml) -> None:
    before, lost, after = read(
        nvml, State([FIRST, SECOND]), State([replace(FIRST, error=LOST), SECOND]), State([FIRST, SECOND])
    )
    problem = lost.gpus[0].problem
    assert problem is not None
    assert problem.code == "gpu_lost"
    assert lost.gpus[0].memory_used_bytes is None
    assert [gpu.uuid for gpu in lost.gpus] == ["GPU-aaaa", "GPU-bbbb"]
    assert lost.gpus[1] == before.gpus[1]
    assert after == before


def test_the_first_instance_of_a_divided_gpu_is_read_as_a_gpu(nvml: FakeNvml) -> None:
    instances = [
        FakeGpu(name="NVIDIA H200 MIG 1g.18gb", uuid=f"MIG-{n}", total=16 * GIB, utilization=-1, milliwatts=-1, gpu=0)
        for n in range(2)
    ]
    gpus = [FIRST, *instances]
    first, named = read(nvml, State(gpus), State(gpus, environ={"CUDA_VISIBLE_DEVICES": "MIG-1"}))
    assert [(gpu.uuid, gpu.memory_total_bytes, gpu.utilization_percent) for gpu in first.gpus] == [
        ("MIG-0", 16 * GIB, None)
    ]
    assert [(gpu.uuid, gpu.index) for gpu in named.gpus] == [("MIG-1", 0)]


def test_gpus_that_have_no_number_or_are_hidden_are_told(nvml: FakeNvml) -> None:
    mixed = [FIRST, replace(SECOND, name="NVIDIA L4")]
    unnumbered, hidden, none = read(
        nvml,
        State(mixed, environ={"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}),
        State(mixed, environ={"CUDA_VISIBLE_DEVICES": ""}),
        State([]),
    )
    problems = [report.problem for report in (unnumbered, hidden, none) if report.problem is not None]
    assert [problem.code for problem in problems] == ["order_unknown", "gpus_hidden", "no_gpu"]
    assert [problem.absent for problem in problems] == [False, True, True]
    assert "CUDA_VISIBLE_DEVICES" in problems[1].hint


def test_gpus_that_pytorch_was_not_built_for_are_told(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, cuda in enumerate([None, "13.0"]):
        packages = write_pytorch(tmp_path / str(number), cuda)
        monkeypatch.setitem(nvml.environ, "PYTHONPATH", f"{packages}:{Path.cwd()}")
        found, none = read(nvml, State([FIRST]), State([], environ={"CUDA_VISIBLE_DEVICES": ""}))
        assert none.problem is not None
        assert none.problem.absent
        assert (found.problem and found.problem.code) == ("pytorch_without_cuda" if cuda is None else None)
        assert len(found.gpus) == (0 if cuda is None else 1)


def test_a_machine_without_a_driver_is_told_so_and_does_not_load_nvml() -> None:
    code = "import json, sys; from worker.gpu.reader import GpuReader; report = GpuReader().read(); "
    code += "print(json.dumps([report.model_dump(), sorted(sys.modules)]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    report, modules = json.loads(done.stdout)
    problem = GpuReport.model_validate(report).problem
    if problem is None or problem.code != "no_driver":
        pytest.skip("this machine has an NVIDIA driver")
    assert problem.absent
    assert "jobs run on the CPU" in problem.hint
    assert {"pynvml", "torch"}.isdisjoint(modules)


def test_a_container_is_told_which_flag_it_lacks(tmp_path: Path) -> None:
    version = tmp_path / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06\nGCC version:  gcc 13\n")
    without_gpu = problem_without_library(tmp_path)
    assert without_gpu.code == "container_without_gpu"
    assert "580.65.06" in without_gpu.message
    assert "docker run --gpus all" in without_gpu.hint
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    without_library = problem_without_library(tmp_path)
    assert without_library.code == "library_missing"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in without_library.hint


def test_every_problem_is_documented() -> None:
    documented = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    assert [code for code in get_args(GpuProblemCode) if f"`{code}`" not in documented] == []
