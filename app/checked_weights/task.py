"""The check of a weights file as a task for a limited child."""

from pydantic import BaseModel, ConfigDict, Field

from app.finetune.architectures import DsrLayout
from app.finetune.job_warning import JobWarning
from app.finetune.state_dicts import Weights
from app.finetune.training_errors import DiskFull
from app.finetune.weights_errors import WeightsError
from app.isolated.errors import ReadersUnavailable
from app.isolated.task import AnyPath, FileRequest, Limits, Task

MIB = 2**20

MOST_COPY_BYTES = 512 * MIB


class CheckRequest(FileRequest):
    """Check that the file has a network of the family. `keep_in` is the folder for the copy; None makes none."""

    family: Weights
    keep_in: AnyPath | None = None


class Copy(BaseModel):
    """The copy of a file's network, float32, by the network's own names."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=r"^[0-9a-f]{64}-(edgeface|dsr)\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class CheckResult(BaseModel):
    """`network` is None for PyTorch's format before 1.6, which only torch can read."""

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the file."""
    network: str | None
    """The name of the EdgeFace variant, or `DSR`."""
    layout: DsrLayout | None = None
    warnings: tuple[JobWarning, ...] = ()
    copy_: Copy | None = None


KEEPING_ERRORS = (WeightsError, DiskFull, ReadersUnavailable)

_LIMITS = Limits(memory_bytes=640 * MIB, cpu_seconds=30, wall_seconds=120.0, answer_bytes=MIB)

CHECK = Task(
    name="app.checked_weights.task:CHECK",
    run="app.checked_weights.reading:check",
    request=CheckRequest,
    result=CheckResult,
    limits=_LIMITS,
    errors=(WeightsError,),
)

CHECK_AND_KEEP = Task(
    name="app.checked_weights.task:CHECK_AND_KEEP",
    run="app.checked_weights.reading:check",
    request=CheckRequest,
    result=CheckResult,
    limits=_LIMITS.model_copy(update={"written_file_bytes": MOST_COPY_BYTES}),
    errors=KEEPING_ERRORS,
)
