"""Errors that end an attempt at a job: its trainer, its worker, its machine or its lease failed."""

from pathlib import Path

from app.finetune.errors import EdgefaceError, ErrorReport


class LeaseLost(EdgefaceError):
    code = "lease_lost"

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(
            f"attempt {attempt} no longer holds job {job_id}", "no action is needed: another attempt runs the job"
        )


class TrainerDied(EdgefaceError):
    code = "trainer_died"

    def __init__(self, exit_code: int | None) -> None:
        killed = exit_code is not None and exit_code < 0
        how = f"was killed by signal {-exit_code}" if killed and exit_code else f"ended with exit code {exit_code}"
        super().__init__(
            f"the training process {how}",
            "signal 9 often means that the system ran out of memory: lower batch_size, or see dmesg and the worker's "
            "log",
        )


class TrainerCrashed(EdgefaceError):
    code = "internal_error"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"unexpected error in the training: {type(error).__name__}: {error}",
            "see the traceback in the worker's log, and please report it",
        )


class TrainerStuck(EdgefaceError):
    code = "trainer_stuck"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the training made no step for {seconds:.0f} s",
            "see the worker's log and nvidia-smi: the driver may hang or a network drive may be unreachable; if "
            "single steps take that long, raise EDGEFACE_STALL_SECONDS",
        )


class DeviceFailed(EdgefaceError):
    code = "device_failed"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"the device failed: {str(error).splitlines()[0]}",
            "see the worker's log, nvidia-smi and dmesg on that machine",
        )


class MachineFailed(EdgefaceError):
    code = "machine_failed"

    def __init__(self, error: OSError | EOFError) -> None:
        super().__init__(
            f"the worker's machine failed: {type(error).__name__}: {error}",
            "check its disks, network drives and free memory; the worker's log has details",
        )


class FilesAway(EdgefaceError):
    code = "files_away"

    def __init__(self, job_id: str, root: Path) -> None:
        super().__init__(
            f"{root} on this worker contains none of the files that job {job_id} saved",
            "check that its disk is mounted and that all workers share EDGEFACE_ARTIFACTS_DIR; if the files are lost, "
            "run edgeface-finetune doctor --repair --accept-loss",
        )


class WorkerLost(EdgefaceError):
    code = "worker_lost"

    def __init__(self, worker_id: str) -> None:
        super().__init__(
            f"worker {worker_id} did not renew its lease",
            "see that worker's log: it ran out of memory, its machine restarted or the database was unreachable",
        )


class Poisoned(EdgefaceError):
    code = "poison"

    def __init__(self, losses: int, last: ErrorReport) -> None:
        super().__init__(
            f"the job lost its worker or trainer {losses} times without progress; the last time: {last.message}",
            f"{last.hint}; then POST /jobs/{{id}}/retry resumes from the last saved state",
        )
