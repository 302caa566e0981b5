"""The memory of a GPU, outside the tensors of this process."""

import torch

_LARGEST_CONTEXT = 2**30
"""The most that CUDA's context of a process takes, with the code of the kernels that it loaded."""


def context_bytes(device: torch.device) -> int:
    """Memory that CUDA itself takes for this process. Programs that share the GPU cannot be told from it: they count up
    to the size of a large context."""
    return min(_held_outside_tensors(device), _LARGEST_CONTEXT)


def held_by_others(device: torch.device) -> int:
    """Memory that other programs hold on the GPU, at least."""
    return max(0, _held_outside_tensors(device) - _LARGEST_CONTEXT)


def _held_outside_tensors(device: torch.device) -> int:
    free, total = torch.cuda.mem_get_info(device)
    return total - free - torch.cuda.memory_reserved(device)
