"""Whether PyTorch was built for GPUs, by its files alone: its import takes seconds."""

import runpy
from importlib.metadata import PackageNotFoundError, distribution

from app.finetune.gpus import GpuProblem

PROBLEM_OF_BUILD = GpuProblem(
    code="pytorch_without_cuda",
    message="this machine has a GPU, but its PyTorch was built without CUDA: jobs run on the CPU",
    hint="install a PyTorch for CUDA (pytorch.org/get-started) and restart the worker; to compute on the CPU, start "
    "it with an empty CUDA_VISIBLE_DEVICES",
)


def is_built_for_cuda() -> bool:
    """True where it is not known."""
    try:
        file = distribution("torch").locate_file("torch/version.py")
        return runpy.run_path(str(file)).get("cuda", "") is not None
    except (PackageNotFoundError, OSError):
        return True
