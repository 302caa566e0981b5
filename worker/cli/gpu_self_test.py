"""Tests whether PyTorch can use each GPU: run as a process, prints each `GpuCheck` as a line of JSON."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from humanize import naturalsize
from torch import Tensor

from app.finetune.counted import counted
from app.finetune.gpus import GpuCheck, GpuReport
from worker.gpu.reader import GpuReader
from worker.training.runtime.device import choose_precision
from worker.training.runtime.device_errors import first_line, is_out_of_memory

_MEMORY_BYTES = 2**26
_LARGEST_ERROR = 0.03
"""Of a result in half precision, relative to that in float32. bf16 has 8 bits: a sum of rounded products is off by less
than 1 %."""

_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""The oldest Linux driver for each major version of CUDA. Source: CUDA Toolkit Release Notes, "CUDA Minor Version
Compatibility"."""


def self_test(report: GpuReport) -> Iterator[GpuCheck]:
    """Yield each check when it has ended. The first failure of a GPU ends its checks, and the next GPU follows."""
    pytorch = check_pytorch(torch.version.cuda, report)
    yield pytorch
    if pytorch.passed:
        for number in range(torch.cuda.device_count()):
            yield from _check_gpu(torch.device("cuda", number))


def check_pytorch(built_for: str | None, report: GpuReport) -> GpuCheck:
    """Check that PyTorch, built for a version of CUDA such as `13.0`, finds GPUs by this driver."""
    name = f"PyTorch {torch.__version__}"
    if built_for is None:
        return _failed(
            "pytorch", f"{name} is built without CUDA", "install a PyTorch for CUDA: pytorch.org/get-started"
        )
    major = int(built_for.partition(".")[0])
    if report.cuda_version is not None and int(report.cuda_version.partition(".")[0]) < major:
        driver = next((gpu.driver_version for gpu in report.gpus), None)
        return _failed(
            "pytorch",
            f"{name} needs CUDA {built_for}; the driver {driver or ''} supports CUDA {report.cuda_version} at most",
            f"update the NVIDIA driver to {_DRIVERS.get(major, f'one for CUDA {major}')} or newer, or install a "
            "PyTorch for an older CUDA: pytorch.org/get-started/previous-versions",
        )
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return _failed(
            "pytorch",
            f"{name} for CUDA {built_for} cannot use the driver: {first_line(error)}",
            "run `nvidia-smi`: if the driver was updated, restart the machine; in a container, check that "
            "NVIDIA_DRIVER_CAPABILITIES has `compute`",
        )
    count = torch.cuda.device_count()
    return GpuCheck(check="pytorch", passed=True, message=f"{name} for CUDA {built_for} finds {counted(count, 'GPU')}")


def _check_gpu(device: torch.device) -> Iterator[GpuCheck]:
    dtype = choose_precision("auto", device).products_in or torch.float32
    half = "bf16" if dtype is torch.bfloat16 else "fp16"
    checks: list[tuple[str, Callable[[], str]]] = [
        ("memory", lambda: _check_memory(device)),
        (f"{half} product", lambda: _check_product(device, dtype)),
        (f"{half} convolution", lambda: _check_convolution(device, dtype)),
        ("graph", lambda: _check_graph(device)),
    ]
    for name, check in checks:
        try:
            with torch.cuda.device(device):
                message = check()
        except RuntimeError as error:
            yield _failed(name, first_line(error), _hint(error), device)
            return
        yield GpuCheck(check=name, device=str(device), passed=True, message=message)


def _check_memory(device: torch.device) -> str:
    """Write numbers and read them back."""
    free, total = torch.cuda.mem_get_info(device)
    count = _MEMORY_BYTES // 4
    numbers = torch.arange(count, dtype=torch.int32, device=device)
    if int(numbers.flip(0).sum(dtype=torch.int64).item()) != count * (count - 1) // 2:
        raise RuntimeError("the memory returned other numbers than were written")
    return f"{naturalsize(free)} of {naturalsize(total)} free"


def _check_product(device: torch.device, dtype: torch.dtype) -> str:
    a, b = _numbers(512, 1024), _numbers(1024, 512)
    return _compare((a.to(device, dtype) @ b.to(device, dtype)).float().cpu(), a @ b)


def _check_convolution(device: torch.device, dtype: torch.dtype) -> str:
    """Forward and backward, as cuDNN computes them."""
    x, w = _numbers(8, 16, 28, 28), _numbers(32, 16, 3, 3)

    def gradient(x: Tensor, w: Tensor) -> Tensor:
        w.requires_grad_()
        F.conv2d(x, w, padding=1).float().square().mean().backward()  # type: ignore[no-untyped-call]
        if w.grad is None:
            raise RuntimeError("the convolution has no gradient")
        return w.grad.float().cpu()

    return _compare(gradient(x.to(device, dtype), w.to(device, dtype)), gradient(x, w.clone()))


def _check_graph(device: torch.device) -> str:
    """Capture a product, and replay it with other numbers."""
    x, w, other = _numbers(64, 256).to(device), _numbers(256, 256).to(device), _numbers(64, 256).to(device)
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        torch.relu(x @ w)  # cuBLAS takes its memory before the capture
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = torch.relu(x @ w)
    x.copy_(other)
    graph.replay()
    return _compare(y.cpu(), torch.relu(other @ w).cpu())


def _compare(result: Tensor, expected: Tensor) -> str:
    error = float((result - expected).norm() / expected.norm())
    if not error <= _LARGEST_ERROR:
        raise RuntimeError(f"the result is wrong: off by {error:.1%} of the CPU's")
    return f"off by {error:.2%} at most"


def _numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _hint(error: RuntimeError) -> str:
    if is_out_of_memory(error):
        return "end the other programs on the GPU: `nvidia-smi` lists them"
    if "no kernel image" in str(error):
        return (
            "this PyTorch has no code for this GPU: install one for an older CUDA (pytorch.org/get-started/"
            "previous-versions), or hide the GPU by CUDA_VISIBLE_DEVICES"
        )
    return (
        "look into `dmesg` for errors of the driver (Xid) and update the driver; if it stays, hide the GPU by "
        "CUDA_VISIBLE_DEVICES and have it checked"
    )


def _failed(check: str, message: str, hint: str, device: torch.device | None = None) -> GpuCheck:
    return GpuCheck(check=check, device=device and str(device), passed=False, message=message, hint=hint)


if __name__ == "__main__":
    for each in self_test(GpuReader().read()):
        print(each.model_dump_json(), flush=True)
