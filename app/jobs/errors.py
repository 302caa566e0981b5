"""The errors of jobs. They continue the tree of app/finetune/errors.py; none knows HTTP.

EdgefaceError
├── (ConfigError, DataError, WeightsError, DeviceUnavailable: app/finetune/errors.py)
├── JobNotFound
├── CheckpointNotReady             no best epoch yet, or none ever
├── CheckpointFileMissing          the row names a file that is gone
├── CursorInvalid
├── OutsideRoots                   a name leads out of the configured root
├── DatasetNotFound
├── WeightsNotFound
├── LeaseLost                      another attempt has taken over: write nothing more
├── TrainerDied                    the training process ended without a word
├── TrainerCrashed                 an error nobody foresaw, inside the training
├── OutOfMemory
└── WorkerLost                     the job outlived too many workers
"""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.errors import Blame, EdgefaceError, name_some
from app.jobs.states import JobStatus


class JobNotFound(EdgefaceError):
    code = "job_not_found"
    blame: Blame = "request"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}", "GET /jobs lists the jobs there are")


class CheckpointNotReady(EdgefaceError):
    code = "checkpoint_not_ready"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        hint = (
            f"the job {status} before its first validated stage 2 epoch; submit it again"
            if status.terminal
            else "the first one is written after the first validated epoch of stage 2: watch GET /jobs/{id}/events for "
            "a checkpoint event"
        )
        super().__init__(f"job {job_id} ({status}) has no checkpoint{'' if status.terminal else ' yet'}", hint)


class CheckpointFileMissing(EdgefaceError):
    code = "checkpoint_file_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the checkpoint's file {path} is gone",
            "restore it from a backup, or see that API and worker share EDGEFACE_ARTIFACTS_DIR",
        )


class CursorInvalid(EdgefaceError):
    code = "cursor_invalid"
    blame: Blame = "request"

    def __init__(self, cursor: str) -> None:
        super().__init__(f"{cursor!r} is no cursor of this list", "use next_cursor of the page before, or none")


class InputError(EdgefaceError):
    """An input that a field of the config names and that cannot be used. `field` is the config's field."""

    blame: Blame = "request"

    def __init__(self, field: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.field = field


class OutsideRoots(InputError):
    code = "path_outside_roots"

    def __init__(self, field: str, name: str, root: Path) -> None:
        super().__init__(
            field,
            f"{field}: {name!r} leads outside {root}",
            f"give a name in {root}, without `..`; links that lead out of it are not followed: copy or mount instead",
        )


class DatasetNotFound(InputError):
    code = "dataset_not_found"

    def __init__(self, field: str, name: str, root: Path, available: Sequence[str]) -> None:
        has = f"it has {name_some(available)}" if available else "it is empty"
        super().__init__(
            field,
            f"{field}: there is no folder {name!r} in {root} ({has})",
            f"build one there: edgeface-finetune dataset build FACES --output {root}/NAME",
        )


class WeightsNotFound(InputError):
    code = "weights_not_found"

    def __init__(self, field: str, name: str, root: Path, available: Sequence[str]) -> None:
        has = f"it has {name_some(available)}" if available else "it is empty"
        super().__init__(
            field,
            f"{field}: there is no file {name!r} in {root} ({has})",
            f"put the file there, as in cp {Path(name).name} {root}/",
        )


class LeaseLost(EdgefaceError):
    code = "lease_lost"

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(
            f"attempt {attempt} no longer holds job {job_id}", "nothing to do: another attempt or the rounds have it"
        )


class TrainerDied(EdgefaceError):
    code = "trainer_died"

    def __init__(self, exit_code: int | None) -> None:
        killed = exit_code is not None and exit_code < 0
        how = f"was killed by signal {-exit_code}" if killed and exit_code else f"ended with exit code {exit_code}"
        super().__init__(
            f"the training process {how}",
            "signal 9 is often the system running out of memory: lower batch_size, or see dmesg and the worker's log",
        )


class TrainerCrashed(EdgefaceError):
    code = "internal_error"

    def __init__(self, error: BaseException) -> None:
        super().__init__(
            f"unexpected error in the training: {type(error).__name__}: {error}",
            "the worker's log has the traceback; please report it",
        )


class OutOfMemory(EdgefaceError):
    code = "out_of_memory"
    blame: Blame = "request"

    def __init__(self, batch_size: int) -> None:
        super().__init__(
            f"the device ran out of memory at batch_size {batch_size}", f"try batch_size {max(2, batch_size // 2)}"
        )


class WorkerLost(EdgefaceError):
    code = "worker_lost"

    def __init__(self, losses: int) -> None:
        super().__init__(
            f"the job lost its worker {losses} times",
            "see the workers' logs (out of memory? machine restarts?), then submit the job again",
        )
