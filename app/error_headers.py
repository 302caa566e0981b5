"""The headers that the answer to each error has."""

from collections.abc import Callable, Mapping
from typing import Any

from app.access.errors import AccessRefused
from app.finetune.errors import EdgefaceError
from app.finetune.retry_later import RetryLater
from app.uploads.errors import UploadError

HEADERS_OF_ERROR: dict[type[EdgefaceError], Callable[[Any], Mapping[str, str]]] = {
    AccessRefused: lambda error: {} if error.challenge is None else {"WWW-Authenticate": error.challenge},
    RetryLater: lambda error: {"Retry-After": str(error.seconds)},
    UploadError: lambda error: error.headers,
}
"""By the base of the errors."""


def headers_of(error: EdgefaceError) -> Mapping[str, str]:
    """Return the entry of HEADERS_OF_ERROR; none for all other errors."""
    return next((of(error) for base, of in HEADERS_OF_ERROR.items() if isinstance(error, base)), {})
