"""Errors of comparisons of jobs. All errors are drawn in app/finetune/error_tree.py."""

from app.finetune.errors import Blame, EdgefaceError


class NotComparable(EdgefaceError):
    code = "not_comparable"
    blame: Blame = "request"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the two evaluations cannot be compared: {reason}",
            "evaluate both on one dataset: POST /evaluations with `edgeface` job:ID, and compare these two jobs",
        )
