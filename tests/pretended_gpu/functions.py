"""PyTorch's functions that name a device: they make tensors on a pretended GPU, and move them there and back."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

from .state import PretendedGpu, active, is_active
from .tensor import PretendedTensor, cpu_tensors_of

_FROM_HOST = {"tensor", "as_tensor", "asarray", "new_tensor"}
"""They copy numbers of the host to the GPU, and wait."""

_DRAWN = {"rand", "randn", "randint", "randperm", "normal"}


class GpuFunctions(TorchFunctionMode):
    """While it is active, in each thread by itself, `device="cuda"` makes tensors on the pretended GPU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if not is_active():
            return func(*args, **given)
        if args and isinstance(args[0], Tensor) and name in _OF_TENSORS:
            return _OF_TENSORS[name](*args, **given)
        if given.get("pin_memory"):
            return active().pinned.add(func(*args, **{**given, "pin_memory": False}))
        if name == "new_tensor" and isinstance(args[0], PretendedTensor):
            given["device"] = given.get("device") or args[0].device
        if given.get("device") is None or name == "_parse_to":
            return func(*args, **given)
        device = _device_named(given["device"])
        if name in ("as_tensor", "asarray") and isinstance(args[0], Tensor):
            return _to(args[0], device, given.get("dtype") or args[0].dtype)
        if device.type != "cuda":
            return func(*cpu_tensors_of(args), **given)
        return _made(active(), func, name, args, given, active().device(device))


def _made(
    gpu: PretendedGpu,
    func: Callable[..., Any],
    name: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    device: torch.device,
) -> Any:
    """What the function makes on this GPU."""
    gpu.note_operation(name, launches=name != "empty")
    if name in _FROM_HOST:
        gpu.note_copy("H2D")
        gpu.note_wait("H2D")
    generator = kwargs.get("generator")
    if generator is not None:
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{generator.device.type}'")
    if name in _DRAWN:
        kwargs["generator"] = gpu.generator(device)
    kwargs["device"] = torch.device("cpu")
    args, requires_grad = cpu_tensors_of(args), kwargs.pop("requires_grad", False)
    made = func(*args, **kwargs)
    if not isinstance(made, Tensor):
        return made
    if gpu.capture is not None:
        gpu.capture.record(func, args, kwargs, made)
    return PretendedTensor(made.detach(), device).requires_grad_(requires_grad)


def _device_named(device: object) -> torch.device:
    return torch.device("cuda", device) if isinstance(device, int) else torch.device(device)  # type: ignore[call-overload]


def _to(tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """As `Tensor.to`."""
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    elif args and type(args[0]) is int:
        args = (torch.device("cuda", args[0]), *args[1:])
    if isinstance(kwargs.get("other"), Tensor):
        other = kwargs.pop("other")
        kwargs |= {"device": other.device, "dtype": other.dtype}
    device, dtype, non_blocking, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    target = tensor.device if device is None else device
    if target.type == "cuda":
        target = active().device(target)
    if target != tensor.device:
        tensor, copy = _Moved.apply(tensor, target, non_blocking), False  # type: ignore[no-untyped-call]
    return tensor.to(dtype or tensor.dtype, copy=copy, memory_format=memory_format or torch.preserve_format)


class _Moved(torch.autograd.Function):
    """`x` on `device`."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, device: torch.device, non_blocking: bool) -> Tensor:
        ctx.came_from = x.device  # type: ignore[attr-defined]
        like = torch.empty_like(cpu_tensors_of(x), memory_format=torch.preserve_format)
        if device.type == "cpu":
            if non_blocking:
                active().pinned.add(like)  # as PyTorch does
            return like.copy_(x.detach(), non_blocking)
        return PretendedTensor(like, device).copy_(x.detach(), non_blocking)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].to(ctx.came_from), None, None


def _cpu(tensor: Tensor, *_: object, **__: object) -> Tensor:
    return _to(tensor, torch.device("cpu"))


def _cuda(tensor: Tensor, device: object = None, non_blocking: bool = False, **_: object) -> Tensor:
    return _to(tensor, torch.device("cuda") if device is None else _device_named(device), non_blocking=non_blocking)


def _type_as(tensor: Tensor, other: Tensor) -> Tensor:
    return _to(tensor, other.device, other.dtype)


def _pin_memory(tensor: Tensor, *_: object, **__: object) -> Tensor:
    if isinstance(tensor, PretendedTensor):
        raise RuntimeError("cannot pin a tensor on a GPU: only dense CPU tensors can be pinned")
    return tensor if _is_pinned(tensor) else active().pinned.add(tensor.clone())


def _is_pinned(tensor: Tensor, *_: object, **__: object) -> bool:
    return not isinstance(tensor, PretendedTensor) and tensor in active().pinned


_OF_TENSORS: Mapping[str, Callable[..., Any]] = {
    "to": _to,
    "cpu": _cpu,
    "cuda": _cuda,
    "type_as": _type_as,
    "pin_memory": _pin_memory,
    "is_pinned": _is_pinned,
}
