"""A tensor that says it lies on `cuda:N`; its numbers lie in a CPU tensor, and the CPU computes them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._ops import OpOverload

from .graphs import tensors_in
from .memory import Block, storage_key
from .rules import Rule, rule_of
from .state import PretendedGpu, active


class PretendedTensor(Tensor):
    """A wrapper of `cpu_tensor`, which has the same shape, strides and type. PyTorch's C++ code takes it for a CPU
    tensor, so that autograd runs without a GPU; Python sees the GPU."""

    cpu_tensor: Tensor
    _claimed: torch.device
    _block: Block

    __torch_function__: ClassVar[Any] = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(
        cls: type["PretendedTensor"], inner: Tensor, device: torch.device, inference: bool | None = None
    ) -> "PretendedTensor":
        """`inference`: whether it is an inference tensor; None for that of the current mode. Raises
        torch.OutOfMemoryError."""
        block = active().allocate(inner, device)
        with torch.inference_mode(torch.is_inference_mode_enabled() if inference is None else inference):
            tensor = Tensor._make_wrapper_subclass(
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                device=torch.device("cpu"),
                requires_grad=False,
            )
        tensor.cpu_tensor, tensor._claimed, tensor._block = inner, device, block
        return tensor

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # declared without cls
        cls, func: OpOverload, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _compute(func, args, dict(kwargs or {}))

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # an attribute there
        return self._claimed

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def get_device(self) -> int:
        return int(self._claimed.index)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        if not isinstance(other, PretendedTensor) or other.device != self.device:
            raise RuntimeError(f"data of a tensor on {self.device} cannot lie on {other.device}")
        if (other.shape, other.stride(), other.dtype) != (self.shape, self.stride(), self.dtype):
            raise NotImplementedError("data of another shape, of other strides or of another type")
        self.cpu_tensor, self._block = other.cpu_tensor, other._block

    def data_ptr(self) -> int:
        return self.cpu_tensor.data_ptr()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.cpu_tensor.untyped_storage()

    def tolist(self) -> Any:
        active().note_wait("tolist")
        return self.cpu_tensor.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    def __array__(self, dtype: object = None) -> Any:
        return self.numpy()

    def record_stream(self, stream: object) -> None:
        """Streams have no order here."""

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # as it is there
        return f"PretendedTensor({self.cpu_tensor!r}, device={str(self.device)!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """`torch.save` copies each storage to the host; a file is read as with `map_location="cpu"`."""
        active().note_copy("D2H")
        active().note_wait("D2H")
        return self.cpu_tensor.detach().__reduce_ex__(protocol)  # type: ignore[no-untyped-call]

    def __deepcopy__(self, memo: dict[Any, Any]) -> "PretendedTensor":
        """As that of Tensor: views of one memory stay that."""
        if id(self) in memo:
            copied: PretendedTensor = memo[id(self)]
            return copied
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")
        key = "storage of a pretended GPU", storage_key(self.cpu_tensor)
        if key not in memo:
            memo[key] = self.cpu_tensor.untyped_storage().clone()  # type: ignore[no-untyped-call]
        inner = torch.empty(0, dtype=self.cpu_tensor.dtype)
        inner.set_(memo[key], self.cpu_tensor.storage_offset(), self.cpu_tensor.size(), self.cpu_tensor.stride())
        copied = memo[id(self)] = PretendedTensor(inner, self.device)
        copied.requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied._is_param = True  # what isinstance(..., Parameter) looks at
        return copied


def cpu_tensors_of(value: Any) -> Any:
    """Arguments of an operation with the CPU tensors in place of the pretended ones."""
    return _map(value, lambda tensor: tensor.cpu_tensor if isinstance(tensor, PretendedTensor) else tensor)


def _compute(func: OpOverload, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    gpu, rule = active(), rule_of(func)
    gpu.note_operation(str(func), launches=not rule.is_view)
    tensors = tensors_in([args, list(kwargs.values())])
    device = _device_of(func, rule, args, tensors)
    _note_waits(gpu, rule, args, kwargs)
    if rule.takes_generator:
        kwargs["generator"] = _generator(gpu, kwargs.get("generator"), device)
    if kwargs.get("pin_memory"):
        raise RuntimeError("Cannot pin a tensor on a GPU: only dense CPU tensors can be pinned")
    if kwargs.get("device") is not None:
        kwargs["device"] = torch.device("cpu")  # from C++ code that takes the tensor for one on the CPU
    inner_args, inner_kwargs = cpu_tensors_of(args), cpu_tensors_of(kwargs)
    if gpu.capture is not None and rule.mutates:
        gpu.capture.save(tensors_in([inner_args, list(inner_kwargs.values())]))
    result = func(*inner_args, **inner_kwargs)
    if gpu.capture is not None:
        gpu.capture.record(func, inner_args, inner_kwargs, result)
    known = {id(each.cpu_tensor): each for each in tensors if isinstance(each, PretendedTensor)}
    known |= {id(each): each for each in tensors if not isinstance(each, PretendedTensor)}  # type: ignore[misc]
    # A view of a normal tensor is a normal tensor, in inference mode too.
    inference = args[0].is_inference() if rule.is_view and isinstance(args[0], Tensor) else None
    return _map(
        result, lambda inner: known[id(inner)] if id(inner) in known else PretendedTensor(inner, device, inference)
    )


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_map(each, change) for each in value])
    if isinstance(value, dict):
        return {key: _map(each, change) for key, each in value.items()}
    return value


def _device_of(func: OpOverload, rule: Rule, args: Sequence[Any], tensors: Sequence[Tensor]) -> torch.device:
    """The GPU that computes. Raises RuntimeError where the tensors may not lie where they do."""
    devices = list(dict.fromkeys(each.device for each in tensors if isinstance(each, PretendedTensor)))
    if rule.is_copy:
        return devices[0]
    if len(devices) > 1:
        raise _mixed(func, devices)
    written = args[0] if rule.mutates and args and isinstance(args[0], Tensor) else tensors[0]
    if rule.is_indexing:
        if not isinstance(args[0], PretendedTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        tensors = tensors_in(args[2:])
    on_host = [each for each in tensors if not isinstance(each, PretendedTensor)]
    refused = [each for each in on_host if each.dim() or not rule.takes_cpu_scalars]
    if refused or (rule.mutates and not isinstance(written, PretendedTensor)):
        raise _mixed(func, [*devices, torch.device("cpu")])
    return devices[0]


def _mixed(func: OpOverload, devices: Sequence[torch.device]) -> RuntimeError:
    found = " and ".join(str(device) for device in devices)
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {found}! ({func})"
    )


def _note_waits(gpu: PretendedGpu, rule: Rule, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if rule.wait is not None:
        gpu.note_wait(rule.wait)
    if rule.is_copy:
        non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        _note_transfer(gpu, args[0], args[1], non_blocking=non_blocking)
    if rule.is_indexing:
        indices = tensors_in(args[1])
        for index in indices:
            _note_transfer(gpu, args[0], index, non_blocking=False)
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices) and not _fills_mask(args, indices):
            gpu.note_wait("boolean index")


def _fills_mask(args: Sequence[Any], indices: Sequence[Tensor]) -> bool:
    """`x[mask] = number` is masked_fill, which does not wait."""
    return len(args) > 2 and len(indices) == 1 and args[2].numel() == 1


def _note_transfer(gpu: PretendedGpu, target: Tensor, source: Tensor, *, non_blocking: bool) -> None:
    """A copy between devices. The host waits for a blocking one, and for one that ends in memory that is not pinned."""
    to_gpu, from_gpu = isinstance(target, PretendedTensor), isinstance(source, PretendedTensor)
    if to_gpu == from_gpu:
        return
    way, on_host = ("H2D", source) if to_gpu else ("D2H", target)
    is_pinned = on_host in gpu.pinned
    if not is_pinned:
        gpu.note_copy(way)
    if not non_blocking or (from_gpu and not is_pinned):
        gpu.note_wait(way)


def _generator(gpu: PretendedGpu, given: object, device: torch.device) -> torch.Generator:
    """What draws on the GPU. Raises RuntimeError for a generator of the CPU."""
    if isinstance(given, torch.Generator):
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found '{given.device.type}'")
    return gpu.generator(device)
