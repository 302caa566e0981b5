"""The device that trains, and its precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from app.finetune.job_warning import JobWarning
from app.finetune.training_errors import DeviceUnavailable, GpuFull, GpuUnusable
from worker.training.runtime.device_errors import first_line, is_out_of_memory
from worker.training.runtime.tf32 import forbid_tf32
from worker.training.runtime.transfers import upload
from worker.training.runtime.visible_gpus import has_gpu


@dataclass(frozen=True)
class Precision:
    """That of a training: the type of the backbone's products, None for float32; `scaled` where gradients need loss
    scaling."""

    name: Literal["float32", "bf16", "fp16"]
    products_in: torch.dtype | None
    scaled: bool


FLOAT32 = Precision("float32", None, scaled=False)


def choose_device(name: str, gpu: int = 0) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> an available device. `auto` and `cuda` are GPU number `gpu` modulo the
    number of GPUs; without a GPU, or with a PyTorch built without CUDA, `auto` is the CPU.

    A GPU becomes the current device, so that all that CUDA allocates lies there, and float32 means IEEE float32 in this
    process: see `tf32`. Raises DeviceUnavailable for a GPU that the machine does not have, GpuUnusable for one that
    PyTorch cannot use, and GpuFull for one without memory.
    """
    gpus = torch.cuda.device_count()
    if name != "cpu" and gpus == 0 and has_gpu() and not _runs_on_cpu_by_build(name):
        raise GpuUnusable(_why_unusable())
    if name == "auto" and gpus == 0:
        return torch.device("cpu")
    device = torch.device("cuda" if name == "auto" else name)
    if device.type == "cpu":
        return device
    index = gpu % max(1, gpus) if device.index is None else device.index
    if index >= gpus:
        raise DeviceUnavailable(name, ["cpu", *(f"cuda:{each}" for each in range(gpus))])
    device = torch.device("cuda", index)
    _make_current(device)
    forbid_tf32()
    return device


def device_warnings(name: str) -> list[JobWarning]:
    """Of a job with this `device` in its config."""
    if not (_runs_on_cpu_by_build(name) and has_gpu()):
        return []
    message = (
        "this machine has a GPU, but its PyTorch was built without CUDA: the job runs on the CPU; to use the GPU, "
        "install a PyTorch for CUDA (pytorch.org/get-started) and restart the worker"
    )
    return [JobWarning(code="gpu_not_used", message=message)]


def _runs_on_cpu_by_build(name: str) -> bool:
    return name == "auto" and torch.version.cuda is None and torch.cuda.device_count() == 0


def _make_current(device: torch.device) -> None:
    try:
        torch.cuda.set_device(device)
        torch.ones(1, device=device).sum().item()  # makes the context, and runs code that was built for this GPU
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise GpuFull(first_line(error)) from error
        raise GpuUnusable(first_line(error)) from error


def _why_unusable() -> str:
    if torch.version.cuda is None:
        return "this PyTorch was built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        return first_line(error)
    return "it finds none"


def describe_device(device: torch.device) -> str:
    """`cpu`, or `cuda:0 (the name of the GPU)`."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`auto`, `bf16`, `fp16` or `off` on this device. A CPU has no fp16: there it is float32."""
    if wanted == "off" or (
        device.type == "cpu" and not (wanted == "bf16" or (wanted == "auto" and _multiplies_bf16()))
    ):
        return FLOAT32
    if device.type == "cpu":
        return Precision("bf16", torch.bfloat16, scaled=False)
    if wanted == "auto":
        with torch.cuda.device(device):
            wanted = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if wanted == "bf16":
        return Precision("bf16", torch.bfloat16, scaled=False)
    return Precision("fp16", torch.float16, scaled=True)


def _multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bf16, which make it faster than float32."""
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # since PyTorch 2.12
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))


def to_device_if_it_fits(data: Tensor, device: torch.device) -> Tensor:
    """`data` on the device where it fits a quarter of the free memory there, else where it is."""
    if device.type != "cuda" or data.nbytes > torch.cuda.mem_get_info(device)[0] / 4:
        return data
    return upload(data, device)
