"""The memory layout of convolutions on a GPU.

Maps lie channels last, as the Linear layers and the norms take them. For a depthwise convolution of such a map PyTorch
calls cuDNN, which has no kernel for some of them on GPUs before Ampere, as users of T4 and P100 reported
(roboflow/rf-detr#731); for a contiguous map it has kernels of its own. Decision 0019.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from app.finetune.job_warning import JobWarning
from worker.training.runtime.device_errors import lacks_kernel

_Result = TypeVar("_Result")

_FIRST_CAPABILITY = (8, 0)


def takes_channels_last(device: torch.device) -> bool:
    """Whether convolutions on `device` begin with maps that are channels last: on a CPU, and on GPUs since Ampere."""
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= _FIRST_CAPABILITY


def lay_out(network: nn.Module, device: torch.device) -> None:
    """Put the weights into the layout that `device` begins with, and convolutions that are to be contiguous too."""
    if takes_channels_last(device) and not is_contiguous(network):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        lay_out_contiguously(network)


def lay_out_contiguously(network: nn.Module) -> None:
    """From here on each convolution of `network` copies its map into the contiguous layout."""
    with torch.inference_mode(False):
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not is_contiguous(module):
            module.register_forward_pre_hook(_make_contiguous)


def keep_moments_laid_out(optimizer: Optimizer) -> None:
    """Before each step of `optimizer`, lay its moments out as their parameters.

    A fused optimizer reads both in the order of the memory. They differ where the layout of a network changed, and
    where a state is resumed on a device that begins with another layout.
    """
    optimizer.register_step_pre_hook(_lay_out_moments)


def is_contiguous(network: nn.Module) -> bool:
    """Whether `lay_out_contiguously` was called for `network`, or for the network that it is a copy of."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    return all(_make_contiguous in module._forward_pre_hooks.values() for module in convolutions)


def in_a_layout_with_kernels(network: nn.Module, compute: Callable[[], _Result]) -> _Result:
    """`compute()`, which runs `network` forwards or backwards: once more with contiguous maps where cuDNN has no kernel
    for channels last."""
    try:
        return compute()
    except RuntimeError as error:
        if not lacks_kernel(error) or is_contiguous(network):
            raise
    lay_out_contiguously(network)
    return compute()


def layout_warnings(network: nn.Module, device: torch.device) -> list[JobWarning]:
    """Of a network that left the layout that `device` began with."""
    if not (takes_channels_last(device) and is_contiguous(network)):
        return []
    message = (
        f"cuDNN has no kernel for a convolution in channels_last on {device}: the network was computed in the "
        "contiguous layout, which may be slower; a newer PyTorch may have the kernel"
    )
    return [JobWarning(code="layout_contiguous", message=message)]


def _make_contiguous(_: nn.Module, inputs: Any) -> tuple[Tensor, ...]:
    return tuple(each.contiguous() for each in inputs)


def _lay_out_moments(optimizer: Optimizer, *_: Any) -> None:
    for parameter, state in optimizer.state.items():
        if parameter.dim() != 4:  # no other is changed by a memory format
            continue
        for name, moment in state.items():
            if moment.dim() and moment.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(moment)
