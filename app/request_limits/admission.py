"""Admission: how many requests with large bodies are in the process at a time, and how many bytes they have."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from app.request_limits.errors import TriesBusy

RETRY_AFTER_SECONDS = 2


class Admission:
    """Admits a request before its body is read: at most `requests` at a time, with `total_bytes` together. One with a
    body of `most_bytes` or less is admitted whenever none is there."""

    def __init__(self, requests: int, total_bytes: int, most_bytes: int) -> None:
        self._most_requests = requests
        self._total_bytes = max(total_bytes, most_bytes)
        self._most_bytes = most_bytes
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def place(self, request: Request) -> Iterator[None]:
        """Hold a place meanwhile. Raises TriesBusy."""
        declared = request.headers.get("content-length", "")
        # What is larger, or declares nothing, is cut off at the most.
        size = min(int(declared), self._most_bytes) if declared.isdigit() else self._most_bytes
        if self._requests >= self._most_requests or self._bytes + size > self._total_bytes:
            raise TriesBusy(self._requests, RETRY_AFTER_SECONDS)
        self._requests += 1
        self._bytes += size
        try:
            yield
        finally:
            self._requests -= 1
            self._bytes -= size
