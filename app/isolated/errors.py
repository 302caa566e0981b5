"""What ends the process that reads a file. Each error names the file. app/finetune/error_tree.py draws all errors."""

from pathlib import Path

from humanize import naturalsize

from app.finetune.errors import Blame, EdgefaceError
from app.finetune.retry_later import RetryLater

_DAMAGED = "the file is damaged or was made to do harm: copy or download it again from where you trust it"

RETRY_SECONDS = 5
"""After which a file that was not read may be, in answers to requests."""


class LimitExceeded(EdgefaceError):
    """A file costs more than is allowed. Its reader was ended."""

    code = "file_too_costly"
    blame: Blame = "request"


class NeedsTooMuchMemory(LimitExceeded):
    code = "file_needs_memory"

    def __init__(self, path: Path, limit_bytes: int) -> None:
        super().__init__(f"reading {path} needs more than {_size(limit_bytes)} of memory", _DAMAGED)


class TakesTooLong(LimitExceeded):
    code = "file_takes_long"

    def __init__(self, path: Path, limit_seconds: float) -> None:
        super().__init__(f"reading {path} took longer than {limit_seconds:g} s", _DAMAGED)


class WritesTooMuch(LimitExceeded):
    code = "file_unpacks_large"

    def __init__(self, path: Path, limit_bytes: int) -> None:
        super().__init__(f"{path} unpacks to a file of more than {_size(limit_bytes)}", _DAMAGED)


class AnswersTooMuch(LimitExceeded):
    code = "file_describes_too_much"

    def __init__(self, path: Path, limit_bytes: int) -> None:
        super().__init__(f"what {path} contains takes more than {_size(limit_bytes)} to describe", _DAMAGED)


class ReaderCrashed(LimitExceeded):
    code = "file_crashes_reader"

    def __init__(self, path: Path, how: str) -> None:
        super().__init__(f"reading {path} crashed the process that read it ({how})", _DAMAGED)


class ReadersBusy(RetryLater):
    code = "readers_busy"

    def __init__(self, path: Path, at_once: int) -> None:
        super().__init__(
            f"{path} was not read: {at_once} files are being read already",
            f"try again in {RETRY_SECONDS} seconds",
            RETRY_SECONDS,
        )


class ReadersUnavailable(RetryLater):
    code = "readers_unavailable"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot be read at the moment: {reason}",
            "see the log of the service, and the memory and processes of its machine; then try again",
            RETRY_SECONDS,
        )


class ReadCancelled(RetryLater):
    code = "read_cancelled"

    def __init__(self, path: Path) -> None:
        super().__init__(f"reading {path} was cancelled", "send the request again", RETRY_SECONDS)


def _size(limit_bytes: int) -> str:
    return naturalsize(limit_bytes, binary=True, format="%.0f")
