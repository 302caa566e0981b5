"""What an error of PyTorch means: memory ran out, the device failed, or something else.

Only the messages tell them apart: PyTorch raises the errors of CUDA's libraries as plain RuntimeErrors. The messages
are those of c10/core/CPUAllocator.h, c10/cuda/CUDAException.h, aten/src/ATen/cuda/Exceptions.h and
aten/src/ATen/cudnn/Exceptions.h of PyTorch 2.11 to 2.13, with the status names of cuBLAS 12 to 13 and cuDNN 8 and 9.
"""

import re

import torch

_OUT_OF_MEMORY = re.compile(
    r"out[ _]of[ _]memory"  # "CUDA out of memory. Tried to allocate", "CUDA error: out of memory", Triton's
    r"|can(?:'t|not) allocate memory|not enough memory"  # the CPU's allocators
    r"|ALLOC(?:ATION)?_FAILED",  # CUBLAS_STATUS_, CUSOLVER_STATUS_, CUFFT_; CUDNN_STATUS_INTERNAL_ERROR_{HOST,DEVICE}_
    re.IGNORECASE,
)
_OF_THE_DEVICE = re.compile(
    r"\b(?:CUDA(?: driver)?|cuDNN|cuBLAS|cusolver|cusparse|cuFFT) error\b|Triton Error \[CUDA\]|\bCU[A-Z]+_STATUS_",
    re.IGNORECASE,
)
# A new process would meet these again: an index out of range on the device, an argument that a library refuses, code
# that was not built for this GPU.
_OF_THE_PROGRAM = re.compile(
    r"device-side assert|invalid (?:configuration )?argument|invalid device (?:ordinal|function)"
    r"|no kernel image|unsupported toolchain"
    r"|_(?:BAD_PARAM|INVALID_VALUE|NOT_SUPPORTED|(?:ARCH|VERSION)_MISMATCH|LICENSE_ERROR)",
    re.IGNORECASE,
)

_LACKS_KERNEL = re.compile(r"unable to find an engine|CUDNN_STATUS_NOT_SUPPORTED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None
    )


def is_device_failure(error: BaseException) -> bool:
    """Whether the device failed, so that a new process may succeed: an illegal access, a launch failure, a memory error
    that ECC found, a device that is lost, or a library that could not execute. After most of them no kernel of this
    process runs any more."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    words = str(error)
    return _OF_THE_DEVICE.search(words) is not None and _OF_THE_PROGRAM.search(words) is None


def lacks_kernel(error: BaseException) -> bool:
    """Whether cuDNN has no kernel for a convolution of this layout and type on this GPU."""
    return isinstance(error, RuntimeError) and _LACKS_KERNEL.search(str(error)) is not None


def first_line(error: BaseException) -> str:
    """The message without what CUDA adds to it about debugging; the name of the class where there is no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
