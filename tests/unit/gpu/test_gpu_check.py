"""`doctor --gpu`: what it finds on a pretended GPU, and on machines whose driver fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.finetune.gpus import GpuReading, GpuReport
from app.settings import Settings
from tests.pretended_gpu import pretended_gpu
from tests.support.command_line import edgeface_finetune
from tests.support.fake_nvml import FakeGpu, FakeNvml
from worker.cli.gpu_check import run_checks
from worker.cli.gpu_self_test import check_pytorch, self_test


@pytest.fixture
def built_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")


@pytest.mark.usefixtures("built_for_cuda")
def test_every_gpu_passes_every_check() -> None:
    with pretended_gpu(gpus=2, memory_bytes=2**28):
        checks = list(self_test(GpuReport()))
    assert all(check.passed for check in checks), checks
    assert [(check.device, check.check) for check in checks] == [
        (None, "pytorch"),
        *((f"cuda:{n}", name) for n in range(2) for name in ("memory", "bf16 product", "bf16 convolution", "graph")),
    ]


@pytest.mark.usefixtures("built_for_cuda")
@pytest.mark.parametrize(
    ("operation", "error", "failing", "hint"),
    [
        ("aten.mm", RuntimeError("CUDA error: no kernel image is available"), "fp16 product", "older CUDA"),
        ("aten.convolution", RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "fp16 convolution", "dmesg"),
        ("aten.flip", torch.OutOfMemoryError("CUDA out of memory."), "memory", "nvidia-smi"),
    ],
)
def test_a_failure_is_told_with_what_to_do(operation: str, error: Exception, failing: str, hint: str) -> None:
    with pretended_gpu(memory_bytes=2**28, bf16=False) as gpu:
        gpu.fail(error, operation=operation)
        *_, last = self_test(GpuReport())
    assert (last.check, last.passed, last.device) == (failing, False, "cuda:0")
    assert last.message == str(error)
    assert hint in (last.hint or "")


@pytest.mark.usefixtures("built_for_cuda")
def test_a_wrong_result_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_gpu(memory_bytes=2**28):
        monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda _: None)
        *_, last = self_test(GpuReport())
    assert (last.check, last.passed) == ("graph", False)
    assert "the result is wrong" in last.message


def test_a_driver_that_is_too_old_is_told_which_one_is_needed() -> None:
    gpu = GpuReading(index=0, uuid="GPU-a", name="NVIDIA H200", driver_version="535.54.03")
    old = check_pytorch("13.0", GpuReport(gpus=(gpu,), cuda_version="12.2"))
    assert not old.passed
    assert "needs CUDA 13.0; the driver 535.54.03 supports CUDA 12.2 at most" in old.message
    assert "580.65.06 or newer" in (old.hint or "")
    with pretended_gpu():
        assert check_pytorch("12.8", GpuReport(gpus=(gpu,), cuda_version="12.2")).passed, "the same major version does"
        assert check_pytorch("13.0", GpuReport()).passed, "NVML may be silent where CUDA works"
    without = check_pytorch(None, GpuReport())
    assert "without CUDA" in without.message
    with pretended_gpu() as broken:
        broken.break_driver("Error 803: system has unsupported display driver / cuda driver combination")
        check = check_pytorch("13.0", GpuReport())
    assert not check.passed
    assert "Error 803" in check.message
    assert "restart the machine" in (check.hint or "")


def test_a_check_that_hangs_or_crashes_is_a_failure() -> None:
    first = 'echo \'{"check": "memory", "device": "cuda:0", "passed": true, "message": "well"}\'; '
    environ = {"PATH": "/usr/bin:/bin"}
    passed, hanging = run_checks(["sh", "-c", first + "exec sleep 600"], environ, limit_seconds=1.0)
    assert passed.passed
    assert not hanging.passed
    assert "did not end within 1 second" in hanging.message
    *_, crashed = run_checks(["sh", "-c", first + "kill -SEGV $$"], environ)
    assert not crashed.passed
    assert "status -11" in crashed.message


def test_a_machine_without_a_gpu_is_told_so(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path)
    ended = edgeface_finetune(settings, "doctor", "--gpu")
    if "there is no NVIDIA driver here" not in ended.output:
        pytest.skip("this machine has an NVIDIA driver")
    assert ended.status == 1
    assert "jobs run on the CPU" in ended.output
    found = json.loads(edgeface_finetune(settings, "doctor", "--gpu", "--json").output)
    assert (found["well"], [check["check"] for check in found["checks"]]) == (False, ["driver"])
    assert edgeface_finetune(settings, "doctor", "--gpu", "--repair").status == 2
    assert list(tmp_path.iterdir()) == [], "it needs no database"


@pytest.mark.slow
def test_a_gpu_that_only_nvml_sees_does_not_pass(tmp_path: Path) -> None:
    """PyTorch itself, in the process of the checks, on a machine whose CUDA does not work."""
    nvml = FakeNvml(tmp_path)
    nvml.show([FakeGpu()])
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", "doctor", "--gpu", "--json"], capture_output=True, text=True, env=nvml.environ
    )
    driver, pytorch = json.loads(ended.stdout)["checks"]
    assert (driver["passed"], driver["device"]) == (True, "cuda:0")
    assert "NVIDIA H200" in driver["message"]
    assert not pytorch["passed"]
    assert pytorch["hint"]
    assert ended.returncode == 1
