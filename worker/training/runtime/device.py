"""The device that trains, and its precision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from app.finetune.training_errors import DeviceUnavailable


@dataclass(frozen=True)
class Precision:
    """`autocast` is None where everything is float32; `scaled` where gradients need loss scaling."""

    name: Literal["float32", "bf16", "fp16"]
    autocast: torch.dtype | None
    scaled: bool


def choose_device(name: str, slot: int = 0) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> an available device; `auto` is GPU number `slot` modulo the number of GPUs,
    or the CPU where there is none. Raises DeviceUnavailable."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device(f"cuda:{slot % gpus}" if gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise DeviceUnavailable(name, ["cpu", *(f"cuda:{index}" for index in range(gpus))])
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def describe_device(device: torch.device) -> str:
    """`cpu`, or `cuda:0 (the name of the GPU)`."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def choose_precision(wanted: str, device: torch.device) -> Precision:
    """`auto`, `bf16`, `fp16` or `off` on this device. A CPU has no fp16: there it is float32."""
    if wanted == "off" or (
        device.type == "cpu" and not (wanted == "bf16" or (wanted == "auto" and _multiplies_bf16()))
    ):
        return Precision("float32", None, scaled=False)
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
    return data.to(device)
