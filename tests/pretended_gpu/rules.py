"""What a GPU does differently from a CPU, for each of PyTorch's operations."""

import functools
from dataclasses import dataclass

import torch
from torch._ops import OpOverload

aten = torch.ops.aten

_WAITS = {
    "_local_scalar_dense": "item",
    "is_nonzero": "item",
    "equal": "equal",
    "nonzero": "nonzero",
    "nonzero_numpy": "nonzero",
    "masked_select": "masked_select",
    "_unique": "unique",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "unique_dim_consecutive": "unique",
    "bincount": "bincount",
}
"""The host waits for the GPU, because the result or its shape is a number on the host."""

_INDEXING = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"}

_NO_CPU_SCALARS = ("_foreach", "_fused", "_amp", "cat", "stack", "index_select", "gather", "scatter", "take")
"""Parts of the names of operations that refuse even a CPU tensor of no dimensions."""


@dataclass(frozen=True)
class Rule:
    """Of one operation. `wait` names the reason why the host waits, None where it does not; `is_copy` is that of
    `Tensor.copy_`, the only operation between devices."""

    name: str
    wait: str | None
    is_copy: bool
    is_indexing: bool
    is_view: bool
    mutates: bool
    takes_cpu_scalars: bool
    takes_generator: bool


@functools.cache
def rule_of(operation: OpOverload) -> Rule:
    """The rule of an operation such as `aten.add.Tensor`."""
    schema = operation._schema
    name = schema.name.partition("::")[2]
    return Rule(
        name=name,
        wait="repeat_interleave" if operation is aten.repeat_interleave.Tensor else _WAITS.get(name),
        is_copy=name == "copy_",
        is_indexing=name in _INDEXING,
        is_view=not schema.is_mutable and any(argument.alias_info is not None for argument in schema.arguments),
        mutates=schema.is_mutable,
        takes_cpu_scalars=not any(part in name for part in _NO_CPU_SCALARS),
        takes_generator=any(argument.name == "generator" for argument in schema.arguments),
    )
