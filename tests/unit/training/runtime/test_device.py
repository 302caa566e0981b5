"""The device that a run computes on."""

from pathlib import Path

import pytest
import torch

from app.finetune.training_errors import DeviceUnavailable, GpuFull, GpuUnusable, OutOfMemory
from tests.pretended_gpu import pretended_gpu
from worker.training.runtime.device import choose_device, device_warnings
from worker.training.runtime.outcome import report_outcome


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a machine with a GPU that PyTorch does not find."""
    monkeypatch.setattr("worker.training.runtime.visible_gpus.ROOT", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    return tmp_path


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("chosen", [None, "0", "GPU-8f6a", " 1,0"])
def test_a_gpu_that_pytorch_cannot_use_is_not_replaced_by_the_cpu(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    for name in ("auto", "cuda", "cuda:0"):
        with pytest.raises(GpuUnusable, match=r"cannot use: \w"):
            choose_device(name)
    assert choose_device("cpu").type == "cpu"


@pytest.mark.usefixtures("root")
def test_a_pytorch_without_cuda_computes_on_the_cpu_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_warnings("auto") == []
    monkeypatch.setattr(torch.version, "cuda", None)
    assert choose_device("auto").type == "cpu"
    (warning,) = device_warnings("auto")
    assert (warning.code, "built without CUDA" in warning.message) == ("gpu_not_used", True)
    assert device_warnings("cpu") == []
    with pytest.raises(GpuUnusable, match="built without CUDA"):
        choose_device("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_warnings("auto") == [], "hidden on purpose"


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("chosen", ["", "-1", "none"])
def test_gpus_that_are_hidden_are_not_there(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(DeviceUnavailable, match="it has cpu"):
        choose_device("cuda")


def test_the_devices_of_the_driver_itself_are_no_gpu(root: Path) -> None:
    (root / "dev" / "nvidia0").rename(root / "dev" / "nvidiactl")
    assert choose_device("auto").type == "cpu"


@pytest.mark.parametrize(
    ("name", "gpu", "expected"),
    [("auto", 1, 1), ("cuda", 1, 1), ("cuda:0", 1, 0), ("auto", 0, 0), ("auto", 3, 1)],
)
def test_the_gpu_of_the_job_becomes_the_current_one(name: str, gpu: int, expected: int) -> None:
    with pretended_gpu(gpus=2):
        assert choose_device(name, gpu) == torch.device("cuda", expected)
        assert torch.cuda.current_device() == expected
        assert torch.empty(1, device="cuda").device == torch.device("cuda", expected)


def test_a_gpu_that_the_machine_does_not_have_is_refused() -> None:
    with pretended_gpu(gpus=2), pytest.raises(DeviceUnavailable, match="it has cpu, cuda:0, cuda:1"):
        choose_device("cuda:2")


def test_a_gpu_that_this_pytorch_was_not_built_for_is_refused() -> None:
    with pretended_gpu() as gpu, pytest.raises(GpuUnusable, match="no kernel image"):
        gpu.fail(torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"))
        choose_device("auto")


def test_a_gpu_without_memory_for_a_context_is_full() -> None:
    with pretended_gpu(memory_bytes=2**30, context_bytes=2**30), pytest.raises(GpuFull):
        choose_device("auto")


@pytest.mark.parametrize(("held", "error"), [(2**29, OutOfMemory), (2**33, GpuFull)])
def test_a_lack_of_memory_is_blamed_on_other_programs_that_hold_it(held: int, error: type[Exception]) -> None:
    def work() -> None:
        torch.empty(2**34, dtype=torch.uint8, device=choose_device("auto"))

    with pretended_gpu(memory_bytes=2**34, context_bytes=held), pytest.raises(error):
        report_outcome(work, lambda _: None)  # type: ignore[type-var]
