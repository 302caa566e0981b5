"""GPUs that are not there, for tests: tensors that say they lie on `cuda:N`, computed by the CPU.

    with pretended_gpu(memory_bytes=2**30) as gpu:
        finetune(config_with_device_cuda, files, report)
    assert not gpu.copies

What it shows as a GPU does:
- Mixing devices raises; so do a CPU generator and `.numpy()`.
- Memory is counted per GPU, in blocks of 512 bytes, and runs out with torch.OutOfMemoryError. An operation's workspace
  and the fragments of a real allocator are not counted; graphs that share a pool share its memory.
- Whatever makes the host wait is counted with its line: `item`, `tolist`, `nonzero`, a boolean index, `equal`,
  `synchronize`, blocking copies, copies into memory that is not pinned. Pinned memory is known.
- A CUDA graph records the operations and replays exactly these on the same memory. What the host computed is frozen.
  Its tensors hold NaN until the first replay, and again after a replay of a graph that was captured before it in the
  same pool. Waits and copies of memory that is not pinned raise in a capture, and spoil it: its end raises too, and
  leaves the stream of the capture current, as `torch.cuda.graph` does.
- The current GPU is one per thread.
- `gpu.fail` raises the errors of libraries where a test wants them, `gpu.break_driver` breaks the driver.

What it cannot show: a file of GPU tensors read without `map_location`, kernels and their rounding, the strides that
cuDNN chooses, TF32, streams (everything runs in the order of the calls, so that a result read too early is right here),
speed, `torch.compile`, and CUDA's lists of autocast: those of the CPU are used, which do not compute layer_norm,
softmax, exp, pow, norm, sum and losses in float32 by themselves; layer_norm of bf16 gives bf16 here, and float32 on a
GPU. The default type of autocast is fp16, as there.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from .cuda_module import fakes
from .functions import GpuFunctions
from .graphs import CaptureError
from .state import PretendedGpu, activate
from .tensor import PretendedTensor

__all__ = ["CaptureError", "PretendedGpu", "PretendedTensor", "pretended_gpu"]


@contextlib.contextmanager
def pretended_gpu(
    gpus: int = 1,
    memory_bytes: int = 2**36,
    bf16: bool = True,
    *,
    context_bytes: int = 0,
    capability: tuple[int, int] | None = None,
) -> Iterator[PretendedGpu]:
    """So many GPUs with `memory_bytes` each, of which the driver's context takes `context_bytes`.

    `capability` is by default (9, 0), and (7, 5) without `bf16`. Threads started inside see the GPUs too.
    """
    gpu = PretendedGpu(gpus, memory_bytes, context_bytes, bf16, capability or ((9, 0) if bf16 else (7, 5)))
    with contextlib.ExitStack() as stack:
        activate(gpu)
        stack.callback(activate, None)
        for name, fake in fakes(gpu).items():
            stack.enter_context(mock.patch.object(torch.cuda, name, fake))
        stack.enter_context(mock.patch.object(torch.autocast, "__init__", _autocast_on_cpu))
        stack.enter_context(mock.patch.object(nn.Module, "_apply", _apply_by_swapping))
        stack.enter_context(mock.patch.object(threading.Thread, "run", _run_with_gpu))
        group = staticmethod(_grouped_by_pretended_device)
        stack.enter_context(mock.patch.object(Optimizer, "_group_tensors_by_device_and_dtype", group))
        for check in ("_cuda_graph_capture_health_check", "_accelerator_graph_capture_health_check"):
            if hasattr(Optimizer, check):
                stack.enter_context(mock.patch.object(Optimizer, check, _refuse_uncapturable(gpu)))
        stack.enter_context(GpuFunctions())
        yield gpu


_autocast = torch.autocast.__init__


def _autocast_on_cpu(
    self: torch.autocast,
    device_type: str,
    dtype: torch.dtype | None = None,
    enabled: bool = True,
    cache_enabled: bool | None = None,
) -> None:
    if device_type == "cuda":
        device_type, dtype = "cpu", dtype or torch.float16
    _autocast(self, device_type, dtype, enabled, cache_enabled)


_apply = nn.Module._apply


def _apply_by_swapping(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """A parameter stays the same object when it moves: its class changes here, so it cannot change its `data`."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return _apply(self, *args, **kwargs)  # type: ignore[no-any-return, no-untyped-call]
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


_run = threading.Thread.run


def _run_with_gpu(self: threading.Thread) -> None:
    with GpuFunctions():
        _run(self)


_grouped = Optimizer._group_tensors_by_device_and_dtype


def _grouped_by_pretended_device(tensorlistlist: Any, with_indices: bool = False) -> Any:
    """PyTorch's C++ code groups the tensors by the device that it sees: the CPU."""
    devices = [each.device for tensors in tensorlistlist for each in tensors if isinstance(each, PretendedTensor)]
    return {
        (devices[0] if devices else device, dtype): group
        for (device, dtype), group in _grouped(tensorlistlist, with_indices).items()
    }


def _refuse_uncapturable(gpu: PretendedGpu) -> Any:
    def refuse(self: Optimizer) -> None:
        if gpu.capture is not None and not all(group["capturable"] for group in self.param_groups):
            raise RuntimeError(
                f"Attempting CUDA graph capture of step() for an instance of {type(self).__name__} but param_groups' "
                "capturable is False."
            )

    return refuse
