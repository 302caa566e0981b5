"""Wait for the GPU, which computes after the calls that tell it to."""

import torch


def wait_for_gpu() -> None:
    """Wait until the current GPU has computed all that it was given, so that a reading of the clock counts it. Nothing
    to do without a GPU, and while a CUDA graph is captured, which computes nothing."""
    if torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
