"""The newest readings of the GPUs, taken beside the work."""

import threading
import time

from app.finetune.gpus import GpuProblem, GpuReport
from worker.gpu.reader import GpuReader

READ_EVERY_SECONDS = 2.0
SILENT_SECONDS = 30.0
_FIRST_SECONDS = 10.0

_SILENT = GpuReport(
    problem=GpuProblem(
        code="nvml_silent",
        message="the NVIDIA driver does not answer",
        hint="run `nvidia-smi`: if it hangs too, restart the machine",
    )
)


class GpuMonitor:
    """Reads the GPUs in a thread of its own, which a driver that never answers may block. It ends by itself where there
    is no GPU."""

    def __init__(
        self, reader: GpuReader, every_seconds: float = READ_EVERY_SECONDS, silent_seconds: float = SILENT_SECONDS
    ) -> None:
        """A reading older than `silent_seconds` counts no longer."""
        self._reader = reader
        self._every_seconds = every_seconds
        self._silent_seconds = silent_seconds
        self._newest = _SILENT
        self._read_at = time.monotonic()
        self._first = threading.Event()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start, and wait for the first reading: 10 seconds at most."""
        threading.Thread(target=self._read, name="gpus", daemon=True).start()
        self._first.wait(_FIRST_SECONDS)

    def stop(self) -> None:
        """Make no other reading. Returns at once."""
        self._stopped.set()

    def newest(self) -> GpuReport:
        """Return the newest report: the same object until there is a newer one."""
        newest = self._newest
        absent = newest.problem is not None and newest.problem.absent
        return newest if absent or time.monotonic() - self._read_at < self._silent_seconds else _SILENT

    def _read(self) -> None:
        while True:
            newest = self._reader.read()
            self._newest, self._read_at = newest, time.monotonic()
            self._first.set()
            if (newest.problem is not None and newest.problem.absent) or self._stopped.wait(self._every_seconds):
                return
