"""The errors of jobs. They continue the tree of app/finetune/errors.py; none knows HTTP.

EdgefaceError
├── (ConfigError, DataError, WeightsError, DeviceUnavailable: app/finetune/errors.py)
├── JobNotFound
├── NotPausable                    it has ended
├── NotPaused                      only a paused job can be resumed
├── NotRetryable                   only a failed or cancelled job can be retried
├── StatesGone                     a retry has nothing to go on from
├── NothingToPin
├── IdempotencyKeyReused           the key came with another request before
├── CheckpointNotReady             no best epoch yet, or none ever
├── NotEvaluated                   no report: not yet, no longer, it could not be made, or a measurement makes none
├── CheckpointNotKept              of that epoch there is none, or no longer
├── NoBackbone                     a DSR network has none
├── StoredFileMissing              the row names a file that is gone
├── CursorInvalid
├── OutsideRoots                   a name leads out of the configured root
├── DatasetNotFound
├── WeightsNotFound
├── WeightsJobNotFound             `job:ID` of no job
├── WeightsNotOfKind               jobs of that kind make no such weights
├── WeightsNotReady                that job has not succeeded
├── WeightsNotKept                 its weights were deleted
├── LeaseLost                      another attempt has taken over: write nothing more
├── TrainerDied                    the training process ended without a word
├── TrainerStuck                   no step for too long, while its worker was well
├── TrainerCrashed                 an error nobody foresaw, inside the training
├── DeviceFailed                   an error of the GPU or its driver
├── MachineFailed                  a file could not be read or written, or a process not started
├── FilesAway                      none of the files that the job saved is there
├── WorkerLost                     the lease ran out
├── DsrTooLarge                    the network makes faces larger than any use
└── Poisoned                       the job lost too many workers or trainers without getting further
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.finetune.errors import Blame, EdgefaceError, ErrorReport, name_some
from app.jobs.states import RETRYABLE, JobStatus

if TYPE_CHECKING:  # the trainer's process names errors, and does without the tables
    from app.jobs.tables import JobKind


class JobNotFound(EdgefaceError):
    code = "job_not_found"
    blame: Blame = "request"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}", "GET /jobs lists the jobs there are")


class NotPausable(EdgefaceError):
    code = "job_not_pausable"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        super().__init__(f"job {job_id} is {status}", "only a job that has neither ended nor been cancelled pauses")


class NotPaused(EdgefaceError):
    code = "job_not_paused"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        hint = (
            "its state is being saved: try again in a few seconds"
            if status is JobStatus.PAUSING
            else "a failed or cancelled job goes on by POST /jobs/{id}/retry"
            if status in RETRYABLE
            else "only a paused job can be resumed"
        )
        super().__init__(f"job {job_id} is {status}, not paused", hint)


class NotRetryable(EdgefaceError):
    code = "job_not_retryable"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        hint = (
            "submit its config again for another run"
            if status.terminal
            else "POST /jobs/{id}/resume goes on with it"
            if status is JobStatus.PAUSED
            else "cancel it first"
        )
        super().__init__(f"job {job_id} is {status}; only a failed or cancelled job can be retried", hint)


class StatesGone(EdgefaceError):
    code = "states_gone"
    blame: Blame = "request"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} has no saved state left to go on from (see EDGEFACE_KEEP_STATES_DAYS)",
            "POST /jobs/{id}/retry?from=start trains it anew and forgets its checkpoint: pin that one to keep it",
        )


_WITHOUT_CHECKPOINT: Mapping[str, tuple[str, str]] = {
    "measurement": (
        "a measurement of what a training would take",
        "`measured` of GET /jobs/{id} is what it finds out",
    ),
    "evaluation": (
        "an evaluation",
        "GET /jobs/{id}/evaluation and GET /jobs/{id}/report are what it makes; the job or the file that `edgeface` of "
        "its config names has the weights",
    ),
}
"""The kinds of jobs that make no checkpoint: what such a one is, and what to ask it for."""


class NothingToPin(EdgefaceError):
    code = "nothing_to_pin"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, kind: str) -> None:
        if kind in _WITHOUT_CHECKPOINT:
            what, instead = _WITHOUT_CHECKPOINT[kind]
            super().__init__(f"job {job_id} is {what}, and makes no checkpoint to pin", instead)
            return
        super().__init__(
            f"job {job_id} ({status}) has no checkpoint{'' if status.terminal else ' yet'}",
            "its warnings and its error say why" if status.terminal else "pin it after the first checkpoint event",
        )


class IdempotencyKeyReused(EdgefaceError):
    code = "idempotency_key_reused"
    blame: Blame = "request"

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"Idempotency-Key {key!r} came with another request before, which made job {job_id}",
            "give every new job a key of its own, such as a UUID",
        )


class NotEvaluated(EdgefaceError):
    code = "not_evaluated"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, kind: "JobKind") -> None:
        if kind == "dsr_training":
            super().__init__(
                f"job {job_id} trains a DSR network and writes no report",
                "`recognition` of GET /jobs/{id} is what it measured; POST /evaluations with its dsr.pth as `dsr` "
                "measures it by every protocol",
            )
            return
        if kind == "measurement":
            super().__init__(
                f"job {job_id} is a measurement of what a training would take, and evaluates nothing",
                "`measured` of GET /jobs/{id} is what it finds out; POST /evaluations evaluates",
            )
            return
        again = (
            "POST /evaluations makes another"
            if kind == "evaluation"
            else "`edgeface-finetune evaluate` measures any checkpoint"
        )
        hint = (
            f"the job's warnings and its error say why; {again}"
            if status.terminal
            else "it is written when the job ends: watch GET /jobs/{id}/events"
        )
        super().__init__(f"job {job_id} ({status}) has no evaluation{'' if status.terminal else ' yet'}", hint)


class CheckpointNotReady(EdgefaceError):
    code = "checkpoint_not_ready"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, kind: str) -> None:
        if kind in _WITHOUT_CHECKPOINT:
            what, instead = _WITHOUT_CHECKPOINT[kind]
            super().__init__(f"job {job_id} is {what}, and makes no checkpoint", instead)
            return
        hint = (
            "its warnings say why it was deleted; submit its config again to train it anew"
            if status is JobStatus.SUCCEEDED
            else f"the job {status} before its first validated epoch of stage 2, or of the DSR network; submit it again"
            if status.terminal
            else "the first one is written after the first validated epoch of stage 2, or of the DSR network: watch "
            "GET /jobs/{id}/events for a checkpoint event"
        )
        super().__init__(f"job {job_id} ({status}) has no checkpoint{'' if status.terminal else ' yet'}", hint)


class CheckpointNotKept(EdgefaceError):
    code = "checkpoint_not_kept"
    blame: Blame = "request"

    def __init__(self, job_id: str, epoch: int, attempt: int | None, kept: Sequence[int]) -> None:
        of = f"epoch {epoch}" + ("" if attempt is None else f" of attempt {attempt}")
        has = f"kept are those of epoch {name_some(kept, 20)}" if kept else "none is kept"
        super().__init__(
            f"job {job_id} keeps no checkpoint of {of}; {has}",
            "a checkpoint that a better one replaced is kept where it was pinned: POST /jobs/{id}/pin; "
            "`files` of GET /jobs/{id} lists what there is",
        )


class NoBackbone(EdgefaceError):
    code = "no_backbone"
    blame: Blame = "request"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} trains a DSR network, which has no backbone",
            "leave `format` out: dsr.pth is the whole of it",
        )


class StoredFileMissing(EdgefaceError):
    code = "file_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the job's file {path} is gone",
            "restore it from a backup, or see that API and worker share EDGEFACE_ARTIFACTS_DIR; "
            "`edgeface-finetune doctor` names all that are gone",
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


class DsrTooLarge(InputError):
    code = "dsr_too_large"

    def __init__(self, vlr_size: int, output: int, most: int) -> None:
        super().__init__(
            "dsr",
            f"dsr: the network enlarges {vlr_size} px to {output} px; {most} px is the most",
            "train it for smaller vlr_sizes, or begin a network with smaller factors: leave dsr out",
        )


class WeightsJobNotFound(InputError):
    code = "weights_job_not_found"

    def __init__(self, field: str, job_id: str) -> None:
        super().__init__(
            field,
            f"{field}: there is no job {job_id!r}",
            f"GET /jobs?status=succeeded{'&kind=dsr_training' if field == 'dsr' else ''} lists the jobs whose weights "
            "can be named; a file's name begins otherwise",
        )


class WeightsNotOfKind(InputError):
    code = "weights_not_of_kind"

    def __init__(self, field: str, job_id: str, kind: str, weights: str, makers: Sequence[str]) -> None:
        of = f"of the kind {' or '.join(makers)}" if makers else "of a version that has jobs which make them"
        super().__init__(
            field,
            f"{field}: job {job_id} is of the kind {kind}, which makes no {weights} weights",
            f"name a job {of}, or a file that GET /weights lists",
        )


class WeightsNotReady(InputError):
    code = "weights_not_ready"

    def __init__(self, field: str, job_id: str, status: JobStatus) -> None:
        hint = (
            f"POST /jobs/{job_id}/retry goes on with it; its best checkpoint so far, if it has one, can be downloaded "
            "and put into the weights' folder"
            if status in RETRYABLE
            else "submit this again when it has succeeded: watch GET /jobs/{id}/events"
        )
        super().__init__(field, f"{field}: job {job_id} is {status}; weights are named of jobs that succeeded", hint)


class WeightsNotKept(InputError):
    code = "weights_not_kept"

    def __init__(self, field: str, job_id: str) -> None:
        super().__init__(
            field,
            f"{field}: the weights that job {job_id} made are deleted",
            "its warnings say why; submit its config again to make them anew, and pin what should outlive "
            "EDGEFACE_KEEP_CHECKPOINTS_DAYS",
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


class TrainerStuck(EdgefaceError):
    code = "trainer_stuck"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the training made no step for {seconds:.0f} s",
            "see the worker's log and nvidia-smi (a hung driver? a network drive that is away?); where single steps "
            "take that long, raise EDGEFACE_STALL_SECONDS",
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
            "see its disks, network drives and free memory; the worker's log has more",
        )


class FilesAway(EdgefaceError):
    code = "files_away"

    def __init__(self, job_id: str, root: Path) -> None:
        super().__init__(
            f"none of the files that job {job_id} saved is in {root} on this worker",
            "see that its disk is mounted and that all workers share EDGEFACE_ARTIFACTS_DIR; where the files are gone "
            "for good, edgeface-finetune doctor --repair --accept-loss",
        )


class WorkerLost(EdgefaceError):
    code = "worker_lost"

    def __init__(self, worker_id: str) -> None:
        super().__init__(
            f"worker {worker_id} was silent for the length of its lease",
            "see that worker's log (out of memory? machine restart? database away?)",
        )


class Poisoned(EdgefaceError):
    code = "poison"

    def __init__(self, losses: int, last: ErrorReport) -> None:
        super().__init__(
            f"the job lost its worker or trainer {losses} times without getting further; the last time: {last.message}",
            f"{last.hint}; then POST /jobs/{{id}}/retry goes on from the last saved state",
        )
