"""Problem details without FastAPI, for a connection whose request cannot be read."""

from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus

import h11

from app.api_models.problems import Problem
from app.finetune.errors import Blame, printable, shortened


@lru_cache(maxsize=16)
def raw_problem(status: int, code: str, detail: str, hint: str) -> Sequence[h11.Event]:
    """Return the answer, which closes the connection."""
    blame: Blame = "service" if status >= 500 else "request"
    problem = Problem(
        type=f"urn:edgeface-finetune:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=printable(shortened(detail)),
        instance="",
        code=code,
        hint=hint,
        blame=blame,
    )
    body = problem.model_dump_json().encode()
    headers = [
        ("content-type", "application/problem+json"),
        ("content-length", str(len(body))),
        ("connection", "close"),
        *([("retry-after", "5")] if status == 503 else []),
    ]
    return (
        h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode()),
        h11.Data(data=body),
        h11.EndOfMessage(),
    )
