"""The memory of a pretended GPU runs out, and its errors come when they are asked for."""

import pytest
import torch

from tests.pretended_gpu import pretended_gpu

MIB = 2**20


def test_memory_is_counted_for_each_gpu_and_given_back() -> None:
    with pretended_gpu(gpus=2, memory_bytes=4 * MIB, context_bytes=MIB) as gpu:
        x = torch.empty(MIB, dtype=torch.uint8, device="cuda:1")
        view = x[1:]
        small = torch.empty(1, device="cuda:1")
        assert torch.cuda.memory_allocated(1) == gpu.live_bytes == MIB + 512
        assert torch.cuda.mem_get_info(1) == (2 * MIB - 512, 4 * MIB)
        assert torch.cuda.memory_allocated(0) == 0
        del x
        assert gpu.live_bytes == MIB + 512, "a view holds the memory"
        del view, small
        assert (gpu.live_bytes, gpu.peak_bytes) == (0, MIB + 512)
        torch.cuda.reset_peak_memory_stats(1)
        assert torch.cuda.max_memory_allocated(1) == 0


def test_memory_runs_out() -> None:
    with pretended_gpu(memory_bytes=4 * MIB) as gpu:
        x = torch.zeros(3 * MIB, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            x + 1
        x += 1
        assert gpu.live_bytes == gpu.peak_bytes == 3 * MIB


def test_what_autograd_keeps_is_counted() -> None:
    with pretended_gpu() as gpu:
        x = torch.rand(MIB // 4, device="cuda", requires_grad=True)
        y = (x.exp() * 2).sum()
        assert gpu.live_bytes == 2 * MIB + 512
        y.backward()  # type: ignore[no-untyped-call]
        assert gpu.live_bytes == 2 * MIB + 512, "the gradient in place of the exponentials"


def test_errors_at_chosen_operations() -> None:
    with pretended_gpu() as gpu:
        x = torch.ones(2, 2, device="cuda")
        gpu.fail(RuntimeError("CUDNN_STATUS_EXECUTION_FAILED"), after=1, times=2, operation="mm")
        x @ x
        for _ in range(2):
            with pytest.raises(RuntimeError, match="CUDNN_STATUS_EXECUTION_FAILED"):
                x @ x
        x @ x
        gpu.fail(torch.AcceleratorError("CUDA error: an illegal memory access"), operation="synchronize")
        with pytest.raises(torch.AcceleratorError):
            torch.cuda.synchronize()


def test_a_broken_driver() -> None:
    with pretended_gpu(gpus=2) as gpu:
        assert torch.cuda.is_available()
        assert torch.cuda.device_count() == 2
        gpu.break_driver("CUDA driver version is insufficient")
        assert not torch.cuda.is_available()
        assert torch.cuda.device_count() == 0
        with pytest.raises(RuntimeError, match="insufficient"):
            torch.cuda.init()  # type: ignore[no-untyped-call]
        with pytest.raises(RuntimeError, match="insufficient"):
            torch.ones(1, device="cuda")


def test_what_a_gpu_says_of_itself() -> None:
    with pretended_gpu(bf16=False):
        assert not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        assert not torch.cuda.is_bf16_supported(including_emulation=False)
        assert torch.cuda.get_device_capability() == (7, 5)
        assert torch.cuda.get_device_properties(0).total_memory == 2**36
        assert torch.cuda.get_device_name("cuda") == "Pretended GPU"
        torch.cuda.manual_seed(1)
        state = torch.cuda.get_rng_state()
        drawn = torch.rand(3, device="cuda")
        torch.cuda.set_rng_state(state)
        assert torch.equal(torch.rand(3, device="cuda"), drawn)
        assert torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
