"""The thread that reads the GPUs."""

import subprocess
import sys
from pathlib import Path

from app.finetune.gpus import GpuReport
from tests.support.fake_nvml import FakeGpu, FakeNvml

WATCH = """
import sys, time
from worker.gpu.monitor import GpuMonitor
from worker.gpu.reader import GpuReader
monitor = GpuMonitor(GpuReader({}), every_seconds=0.01, silent_seconds=1.0)
monitor.start()
first = monitor.newest()
print(first.model_dump_json(), flush=True)
sys.stdin.readline()
while (newest := monitor.newest()).problem is None:
    time.sleep(0.01)
print(newest.model_dump_json(), flush=True)
"""


def test_a_driver_that_never_answers_blocks_nothing(tmp_path: Path) -> None:
    nvml = FakeNvml(tmp_path)
    nvml.show([FakeGpu(used=5)])
    with subprocess.Popen(
        [sys.executable, "-c", WATCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=nvml.environ
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = GpuReport.model_validate_json(process.stdout.readline())
        nvml.show([FakeGpu(used=7)], init=-2)
        process.stdin.write("\n")
        process.stdin.flush()
        silent = GpuReport.model_validate_json(process.stdout.readline())
    assert [gpu.memory_used_bytes for gpu in first.gpus] == [5]
    assert silent.problem is not None
    assert silent.problem.code == "nvml_silent"
    assert "nvidia-smi" in silent.problem.hint
    assert process.returncode == 0
