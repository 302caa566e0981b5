"""TF32: float32 on the tensor cores of GPUs since Ampere, which read 10 of the 23 bits of a number.

PyTorch allows it in cuDNN unless told otherwise. Its settings count for the whole process. PyTorch has two interfaces
for those of cuDNN. Since 2.9 reading the older one, as `torch.backends.cudnn.flags` does, raises RuntimeError unless it
says the same as the newer one for convolutions and for recurrent networks. So all three are set.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_PRODUCTS: Any = torch.backends.cuda.matmul
_CUDNN: Any = torch.backends.cudnn
_FIRST_CAPABILITY = (8, 0)


def forbid_tf32() -> None:
    """Make float32 mean IEEE float32 from here on, in products and convolutions."""
    _PRODUCTS.fp32_precision = "ieee"
    _set_cudnn("ieee")


@contextmanager
def tf32_convolutions() -> Iterator[None]:
    """Allow TF32 in the convolutions inside, forwards and backwards."""
    before = _CUDNN.conv.fp32_precision
    _set_cudnn("tf32")
    try:
        yield
    finally:
        _set_cudnn(before)


def has_tf32(device: torch.device) -> bool:
    """Whether `tf32_convolutions` changes anything on this device."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FIRST_CAPABILITY


def _set_cudnn(precision: str) -> None:
    _CUDNN.allow_tf32 = precision == "tf32"  # first, for it sets the others: to "none" in place of "ieee"
    _CUDNN.conv.fp32_precision = _CUDNN.rnn.fp32_precision = precision
