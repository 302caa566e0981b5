"""Why NVML cannot read a GPU, and what to do."""

import pynvml

from app.finetune.gpus import GpuProblem, GpuProblemCode

_Problem = tuple[GpuProblemCode, str, str]

LOST = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
"""Errors of one device, which the others do not share."""

_PROBLEMS: dict[int, _Problem] = {
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "driver_not_loaded",
        "the NVIDIA driver is installed, but its kernel module is not loaded",
        "run `modprobe nvidia`; if that fails after an update of the kernel, install the driver again and restart the "
        "machine",
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "driver_mismatch",
        "the libraries of the NVIDIA driver have another version than the loaded kernel module: the driver was updated "
        "since the machine started",
        "restart the machine; or end all processes that use a GPU and reload the module: `rmmod nvidia_uvm nvidia_drm "
        "nvidia_modeset nvidia && modprobe nvidia`. In a container: restart the container",
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: (
        "no_permission",
        "this user may not use the GPU",
        "give the user read and write access to /dev/nvidia*; in a container: start it with `--gpus all`",
    ),
}
_PROBLEM_OF_LOST: _Problem = (
    "gpu_lost",
    "the driver lost a GPU",
    "restart the machine; `dmesg | grep -i xid` shows the cause. If it happens again: check power, cooling and the GPU",
)
_OTHER_PROBLEM: _Problem = (
    "nvml_failed",
    "NVML failed",
    "run `nvidia-smi`: if it fails too, restart the machine. If it works on the host and not in a container: restart "
    "the container",
)


def problem_of(error: pynvml.NVMLError) -> GpuProblem:
    """Return the problem for an error of NVML."""
    code, message, hint = _PROBLEM_OF_LOST if error.value in LOST else _PROBLEMS.get(error.value, _OTHER_PROBLEM)
    return GpuProblem(code=code, message=f"{message} (NVML: {error})", hint=hint)
