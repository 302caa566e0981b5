"""Answer: how the middlewares of this package answer with an error."""

from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.finetune.errors import EdgefaceError


class Answer(Protocol):
    """Makes the answer to a request that failed with an error."""

    def __call__(self, request: Request, error: EdgefaceError, /) -> Response: ...
