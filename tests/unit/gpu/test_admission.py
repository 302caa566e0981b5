"""Which jobs of a pass through the queue start on a GPU."""

import threading
from pathlib import Path

import pytest

from app.finetune.gpus import GpuProblem, GpuReading, GpuReport
from app.settings import Settings
from tests.support.pytorch_files import write_pytorch
from worker.gpu.leases import GpuMemoryShort, MemoryNeed, NoGpuFree
from worker.gpu_admission import GpuAdmission

GIB = 2**30


def report(used: int) -> GpuReport:
    memory = {"memory_used_bytes": used * GIB, "memory_total_bytes": 8 * GIB}
    return GpuReport(gpus=(GpuReading(index=0, uuid="GPU-0", name="a GPU", **memory),))


def test_a_pass_waits_once_for_a_newer_reading(tmp_path: Path) -> None:
    needed = MemoryNeed(3 * GIB, 3 * GIB)
    reports = [report(used=8)] * 3
    asked: list[int] = []

    def newest() -> GpuReport:
        asked.append(len(asked))
        return reports[len(asked) - 1] if len(asked) <= len(reports) else last

    last = report(used=7)
    admission = GpuAdmission(Settings(var_dir=tmp_path), newest, threading.Event())
    with pytest.raises(GpuMemoryShort):
        admission.admit("auto", needed)
    assert len(asked) == 4, "until there was a newer one"
    for job in range(1, 4):
        with pytest.raises(GpuMemoryShort):
            admission.admit("auto", needed)
        assert len(asked) == 4 + job
    last = report(used=1)
    lease = admission.admit("auto", needed)
    assert lease is not None
    lease.release()


def test_a_job_that_ended_a_moment_ago_makes_none_wait(tmp_path: Path) -> None:
    reports = iter([report(used=8), report(used=1)])
    admission = GpuAdmission(Settings(var_dir=tmp_path), lambda: next(reports), threading.Event())
    lease = admission.admit("auto", MemoryNeed(3 * GIB, 3 * GIB))
    assert lease is not None
    lease.release()


def test_a_broken_driver_does_not_matter_to_a_pytorch_without_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr("worker.training.runtime.visible_gpus.ROOT", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    broken = GpuReport(problem=GpuProblem(code="driver_mismatch", message="two versions", hint="restart"))
    admission = GpuAdmission(Settings(var_dir=tmp_path), lambda: broken, threading.Event())
    with pytest.raises(NoGpuFree, match="two versions; restart"):
        admission.admit("auto", MemoryNeed(GIB, GIB))
    monkeypatch.syspath_prepend(write_pytorch(tmp_path / "packages", cuda=None))
    assert admission.admit("auto", MemoryNeed(GIB, GIB)) is None
