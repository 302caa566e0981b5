"""The check of a weights file in PyTorch's format before 1.6, as a task for a limited child: only torch reads it."""

from app.checked_weights.task import KEEPING_ERRORS, MIB, MOST_COPY_BYTES, CheckRequest, CheckResult
from app.isolated.task import Limits, Task

CHECK_OLD = Task(
    name="worker.old_weights:CHECK_OLD",
    run="worker.old_weights_reading:check",
    request=CheckRequest,
    result=CheckResult,
    limits=Limits(
        memory_bytes=1024 * MIB,
        cpu_seconds=60,
        wall_seconds=300.0,
        written_file_bytes=MOST_COPY_BYTES,
        answer_bytes=MIB,
    ),
    errors=KEEPING_ERRORS,
    at_once=1,
)
