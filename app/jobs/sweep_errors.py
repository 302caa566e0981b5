"""Errors of sweeps. All errors are drawn in app/finetune/error_tree.py."""

from app.finetune.errors import Blame, EdgefaceError, shortened
from app.finetune.field_messages import FieldMessage


class SweepNotFound(EdgefaceError):
    code = "sweep_not_found"
    blame: Blame = "request"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no sweep {shortened(name)!r}", "`sweep` of GET /jobs has the name of the sweep of each job"
        )


class SweepExists(EdgefaceError):
    code = "sweep_exists"
    blame: Blame = "request"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"you have a sweep {name} already",
            f"choose another name; POST /jobs?sweep={name} adds a single job to it",
        )


class SweepTooLarge(EdgefaceError):
    code = "sweep_too_large"
    blame: Blame = "request"

    def __init__(self, jobs: int, most: int) -> None:
        super().__init__(
            f"sweep: the values have {jobs:,} combinations; {most} is the most", "leave values or fields out"
        )


class SweepInvalid(EdgefaceError):
    """A combination is no valid config. `fields` are the paths and what is wrong with each."""

    code = "sweep_invalid"
    blame: Blame = "request"

    def __init__(self, fields: list[FieldMessage]) -> None:
        super().__init__(
            f"a config of the sweep is invalid: {'; '.join(f'{field}: {message}' for field, message in fields)}",
            "correct the fields named; no job was queued",
        )
        self.fields = fields
