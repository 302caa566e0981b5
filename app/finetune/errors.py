"""The base of every error that the project raises on purpose, and the errors of configs and datasets.

app/finetune/error_tree.py draws all of them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Blame = Literal["request", "data", "service"]

MOST_ECHOED = 200
"""Most characters of a value in a request that an error repeats."""


class ErrorReport(BaseModel):
    """An error as a person reads it: on the job, in the problem+json answer and on the terminal."""

    code: str
    message: str
    hint: str
    blame: Blame


class EdgefaceError(Exception):
    """Base class. `code` never changes; `hint` says what to do next; `blame` says where the cause is. `exit_status` is
    that of a command that ends by it; None: 1 if the service is to blame, else 2."""

    code: str = "error"
    blame: Blame = "service"
    exit_status: int | None = None

    def __init__(self, message: str, hint: str) -> None:
        self.message = printable(message)
        super().__init__(self.message)
        self.hint = printable(hint)

    def report(self) -> ErrorReport:
        return ErrorReport(code=self.code, message=self.message, hint=self.hint, blame=self.blame)


def printable(name: object) -> str:
    """The text with each byte that is not UTF-8 escaped, as in `caf\\udce9`. JSON, HTML and terminals cannot hold such
    bytes, which names from old archives have: every name that leaves the process goes through here."""
    return str(name).encode("utf-8", "backslashreplace").decode()


def shortened(text: str, most: int = MOST_ECHOED) -> str:
    """The text, with its middle left out where it has more than `most` characters: for what a request contains."""
    if len(text) <= most:
        return text
    half = (most - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


LONGEST_SHOWN = 500
"""Characters of one of several names in a message: a file may contain names of megabytes."""


def name_some(names: Sequence[object], limit: int = 5) -> str:
    """The first `limit` names, shortened, and the number of the others, as in `a, b, c and 4 more`."""
    shown = ", ".join(shortened(printable(name), LONGEST_SHOWN) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


class ConfigError(EdgefaceError):
    code = "config_invalid"
    blame: Blame = "request"


class DataError(EdgefaceError):
    code = "dataset_invalid"
    blame: Blame = "data"


class UnreadableImages(DataError):
    code = "image_unreadable"

    def __init__(self, reasons: dict[Path, str]) -> None:
        self.reasons = reasons
        listed = name_some([f"{path} ({reason})" for path, reason in reasons.items()])
        count = "an image" if len(reasons) == 1 else f"{len(reasons)} images"
        super().__init__(f"cannot read {count}: {listed}", "replace or remove the files named, then submit again")


class PhotoCopied(DataError):
    code = "photo_copied"

    def __init__(self, copies: Sequence[object]) -> None:
        self.copies = copies
        count = "a photo is" if len(copies) == 1 else f"{len(copies)} photos are"
        super().__init__(
            f"the dataset leaks: {count} in two parts or under two subjects: {name_some(copies)}",
            "remove one copy of each (VLR and HR image), because results on photos from the training data are not "
            "valid; or allow them: allowed_leaks (--allow-leak of the dataset commands) takes file names, pairs of "
            "subjects as `a=b`, or `*`",
        )


class PersonUnderTwoNames(DataError):
    code = "person_under_two_names"

    def __init__(self, pairs: Sequence[object], compared: str = "") -> None:
        self.pairs = pairs
        super().__init__(
            f"the dataset leaks: {name_some(pairs)} look like one person with two subject names"
            + (f" ({compared})" if compared else ""),
            "use one subject name for all images of a person, and one part unless the split is by images; if they are "
            "different people, allow them: allowed_leaks takes pairs of subjects as `a=b`, or `*`",
        )


class ChangedWhileRead(DataError):
    code = "changed_while_read"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"images in {folder} changed while they were prepared",
            "stop whatever writes to the dataset, then retry the job",
        )


class InputsChanged(DataError):
    code = "inputs_changed"

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__(
            f"{name_some(what)} changed since the state was saved that this training resumes from",
            "restore the files and retry the job, or train from the start: POST /jobs/{id}/retry?from=start",
        )
