"""Why NVML is not here, and what to do."""

from pathlib import Path

from app.finetune.gpus import GpuProblem

LIBRARY = "libnvidia-ml.so.1"


def problem_without_library(root: Path = Path("/")) -> GpuProblem:
    """Return the problem of a machine without NVML's library. `root` is the root of the file system."""
    try:
        driver = (root / "proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):
        return GpuProblem(
            code="no_driver",
            message=f"there is no NVIDIA driver here ({LIBRARY} is missing)",
            hint="nothing, if this machine has no NVIDIA GPU: jobs run on the CPU. Otherwise install the driver",
        )
    if not (root / "dev/nvidiactl").exists():
        return GpuProblem(
            code="container_without_gpu",
            message=f"the machine has an NVIDIA driver ({driver}), but no GPU can be reached from here",
            hint="install the NVIDIA Container Toolkit on the host and start the container with `docker run --gpus "
            "all`, or with `docker compose up` and docker-compose.yml. Outside a container: install the driver's "
            "libraries",
        )
    return GpuProblem(
        code="library_missing",
        message=f"the machine has an NVIDIA driver ({driver}), but its library {LIBRARY} is missing here",
        hint="in a container: set NVIDIA_DRIVER_CAPABILITIES=compute,utility. Outside: install the libraries of the "
        "same version of the driver",
    )
