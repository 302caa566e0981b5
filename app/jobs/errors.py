"""Errors of requests about jobs. All errors are drawn in app/finetune/error_tree.py."""

from collections.abc import Sequence
from pathlib import Path

from app.finetune.errors import Blame, EdgefaceError, name_some, shortened
from app.finetune.job_kinds import Kind
from app.jobs.states import RETRYABLE, JobStatus


class JobNotFound(EdgefaceError):
    code = "job_not_found"
    blame: Blame = "request"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {shortened(job_id)}", "GET /jobs lists all jobs")


class NotPausable(EdgefaceError):
    code = "job_not_pausable"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        super().__init__(f"job {job_id} is {status}, and cannot be paused", _after_the_end(job_id, status))


class NotPaused(EdgefaceError):
    code = "job_not_paused"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        hint = (
            "its state is being saved: try again in a few seconds"
            if status is JobStatus.PAUSING
            else _after_the_end(job_id, status)
        )
        super().__init__(f"job {job_id} is {status}, not paused", hint)


class NotRetryable(EdgefaceError):
    code = "job_not_retryable"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        match status:
            case JobStatus.PAUSED:
                hint = f"POST /jobs/{job_id}/resume resumes it"
            case JobStatus.PAUSING:
                hint = f"its state is being saved: in a few seconds, POST /jobs/{job_id}/resume resumes it"
            case JobStatus.QUEUED | JobStatus.PREPARING | JobStatus.RUNNING:
                hint = f"it has not ended; to start it anew, cancel it first: POST /jobs/{job_id}/cancel"
            case _:
                hint = _after_the_end(job_id, status)
        super().__init__(f"job {job_id} is {status}; only a failed or cancelled job can be retried", hint)


class StatesGone(EdgefaceError):
    code = "states_gone"
    blame: Blame = "request"

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} has no saved state left to resume from (see EDGEFACE_KEEP_STATES_DAYS)",
            f"POST /jobs/{job_id}/retry?from=start trains from the start and deletes the checkpoint: pin it to keep it",
        )


def _after_the_end(job_id: str, status: JobStatus) -> str:
    """The next step for a job that has ended or is being cancelled."""
    if status is JobStatus.SUCCEEDED:
        return "it has ended; submit its config again for another run"
    when = "it ends in a few seconds; then" if status is JobStatus.CANCELLING else "it has ended;"
    return f"{when} POST /jobs/{job_id}/retry queues it again"


class NothingToPin(EdgefaceError):
    code = "nothing_to_pin"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, kind: Kind) -> None:
        if not kind.checkpoint:
            super().__init__(
                f"job {job_id} is {kind.title}, and makes no checkpoint to pin", kind.instead_of_checkpoint
            )
            return
        super().__init__(
            f"job {job_id} ({status}) has no checkpoint{'' if status.terminal else ' yet'}",
            "its warnings and its error give the reason"
            if status.terminal
            else "pin it after the first checkpoint event",
        )


class NotDeletable(EdgefaceError):
    code = "job_not_deletable"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus) -> None:
        hint = (
            "it ends in a few seconds: try again then"
            if status is JobStatus.CANCELLING
            else f"POST /jobs/{job_id}/cancel ends it; then delete it"
        )
        super().__init__(f"job {job_id} is {status}; only a job that has ended can be deleted", hint)


class JobInUse(EdgefaceError):
    code = "job_in_use"
    blame: Blame = "request"

    def __init__(self, job_id: str, needs: Sequence[str]) -> None:
        super().__init__(
            f"job {job_id} is needed: {'; '.join(needs)}",
            f"DELETE /jobs/{job_id}?force=true deletes it all the same; jobs that use its weights and have not ended "
            "then fail, and the config of one that has ended cannot be submitted again",
        )


class JobDeleted(EdgefaceError):
    code = "job_deleted"
    blame: Blame = "request"

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"Idempotency-Key {shortened(key)!r} was used for job {job_id}, which was deleted",
            "use a new key for every new job, such as a UUID",
        )


class IdempotencyKeyReused(EdgefaceError):
    code = "idempotency_key_reused"
    blame: Blame = "request"

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"Idempotency-Key {shortened(key)!r} was used with a different request, which created job {job_id}",
            "use a new key for every new job, such as a UUID",
        )


class TooManyQueuedJobs(EdgefaceError):
    code = "too_many_queued_jobs"
    blame: Blame = "request"

    def __init__(self, queued: int, most: int) -> None:
        super().__init__(
            f"you have {queued} queued jobs; {most} is the most",
            "submit it again after some have started, or cancel some: GET /jobs?status=queued lists them; "
            "EDGEFACE_MAX_QUEUED_JOBS sets the limit",
        )


class NotEvaluated(EdgefaceError):
    code = "not_evaluated"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, kind: Kind) -> None:
        if not kind.evaluated:
            super().__init__(f"job {job_id} is {kind.title}, and writes no evaluation", kind.instead_of_evaluation)
            return
        hint = (
            "the job's warnings and its error give the reason; POST /evaluations evaluates any weights"
            if status.terminal
            else "it is written when the job ends: watch GET /jobs/{id}/events"
        )
        super().__init__(f"job {job_id} ({status}) has no evaluation{'' if status.terminal else ' yet'}", hint)


class NotExported(EdgefaceError):
    code = "not_exported"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, file_format: str) -> None:
        hint = (
            f'POST /model-exports with {{"edgeface": "job:{job_id}"}} makes one of the weights of a job that '
            "succeeded; the job's warnings and its error give the reason why it has none"
            if status.terminal
            else "it is written when the job ends: watch GET /jobs/{id}/events"
        )
        super().__init__(f"job {job_id} ({status}) has no {file_format} file{'' if status.terminal else ' yet'}", hint)


class CheckpointNotReady(EdgefaceError):
    code = "checkpoint_not_ready"
    blame: Blame = "request"

    def __init__(self, job_id: str, status: JobStatus, kind: Kind) -> None:
        if not kind.checkpoint:
            super().__init__(f"job {job_id} is {kind.title}, and makes no checkpoint", kind.instead_of_checkpoint)
            return
        hint = (
            "its warnings give the reason for the deletion; submit its config again to train again"
            if status is JobStatus.SUCCEEDED
            else "it ended before its first validated epoch of stage 2, or of the DSR network; "
            f"POST /jobs/{job_id}/retry queues it again"
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
        has = f"the kept ones are of epoch {name_some(kept, 20)}" if kept else "none is kept"
        super().__init__(
            f"job {job_id} keeps no checkpoint of {of}; {has}",
            "a checkpoint that was replaced by a better one is kept only if it was pinned: POST /jobs/{id}/pin; "
            "`files` of GET /jobs/{id} lists all kept files",
        )


class NoBackbone(EdgefaceError):
    code = "no_backbone"
    blame: Blame = "request"

    def __init__(self, job_id: str, kind: Kind, file_format: str = "backbone") -> None:
        super().__init__(
            f"job {job_id} is {kind.title}, and its checkpoint has no {file_format}",
            f"omit `format`: {kind.checkpoint['full']} is its complete result",
        )


class StoredFileMissing(EdgefaceError):
    code = "file_missing"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the job's file {path} is missing",
            "restore it from a backup, or check that API and worker share EDGEFACE_ARTIFACTS_DIR; "
            "`edgeface-finetune doctor` lists all missing files",
        )


class StoredFileUnreadable(EdgefaceError):
    code = "file_unreadable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"the job's file {path} cannot be opened: {reason}",
            f"allow the API's user to read it: ls -l {path} shows its owner; API and worker should run as one user",
        )


class CursorInvalid(EdgefaceError):
    code = "cursor_invalid"
    blame: Blame = "request"

    def __init__(self, cursor: str) -> None:
        super().__init__(
            f"{shortened(cursor)!r} is not a cursor of this list", "use next_cursor of the previous page, or none"
        )


class InputError(EdgefaceError):
    """A field of the config names an input that cannot be used. `field` is the name of that field."""

    code = "input_invalid"
    blame: Blame = "request"

    def __init__(self, field: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.field = field


class WeightsJobNotFound(InputError):
    code = "weights_job_not_found"

    def __init__(self, field: str, job_id: str, makers: Sequence[str]) -> None:
        lists = " or ".join(f"GET /jobs?status=succeeded&kind={maker}" for maker in makers)
        super().__init__(
            field,
            f"{field}: there is no job {shortened(job_id)!r}",
            f"{lists} lists the jobs whose weights can be used; the name of a file must not start with `job:`",
        )


class WeightsNotOfKind(InputError):
    code = "weights_not_of_kind"

    def __init__(self, field: str, job_id: str, kind: str, weights: str, makers: Sequence[str]) -> None:
        of = f"of the kind {' or '.join(makers)}" if makers else "of a version whose jobs create them"
        super().__init__(
            field,
            f"{field}: job {job_id} is of the kind {kind}, which creates no {weights} weights",
            f"name a job {of}, or a file that GET /weights lists",
        )


class WeightsNotReady(InputError):
    code = "weights_not_ready"

    def __init__(self, field: str, job_id: str, status: JobStatus) -> None:
        hint = (
            f"POST /jobs/{job_id}/retry resumes it; its best checkpoint so far, if any, can be downloaded and copied "
            "into the weights folder"
            if status in RETRYABLE
            else "submit this again after it has succeeded: watch GET /jobs/{id}/events"
        )
        super().__init__(
            field, f"{field}: job {job_id} is {status}; only the weights of a job that succeeded can be used", hint
        )


class WeightsNotKept(InputError):
    code = "weights_not_kept"

    def __init__(self, field: str, job_id: str) -> None:
        super().__init__(
            field,
            f"{field}: the weights that job {job_id} created are deleted",
            "its warnings give the reason; submit its config again to create them again, and pin checkpoints to keep "
            "them longer than EDGEFACE_KEEP_CHECKPOINTS_DAYS",
        )
