"""Connection: requests to the API that are repeated while it is unavailable."""

import hashlib
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from app.api_models.events import EVENT, EventView
from app.api_models.logs import LogLine
from app.client.errors import ApiUnavailable, GatewayUnavailable, error_of
from app.client.urls import full_url
from app.finetune.deprecations import FormerNameWarning

_Result = TypeVar("_Result")

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

KEY_VARIABLE = "EDGEFACE_KEY"

RECONNECT_SECONDS = 1.0
"""Between attempts while the API is unavailable."""

TEMPORARY_ERRORS = (
    httpx2.NetworkError,
    httpx2.TimeoutException,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
    ApiUnavailable,
    GatewayUnavailable,
)


class Connection:
    """`key`: the API key, None for that of EDGEFACE_KEY. `patience_seconds`: how long a request is repeated while the
    API is unavailable."""

    def __init__(self, url: str, *, key: str | None, patience_seconds: float, timeout_seconds: float) -> None:
        key = os.environ.get(KEY_VARIABLE) if key is None else key
        url = full_url(url)
        # A company's proxy does not reach this machine.
        through_proxy = httpx2.URL(url).host not in _LOCAL_HOSTS
        timeout = httpx2.Timeout(timeout_seconds, connect=5.0)
        self._http = httpx2.Client(base_url=url, timeout=timeout, trust_env=through_proxy)
        if key:
            # Also with a netrc file: a header that is set wins over it.
            self._http.headers["Authorization"] = f"Bearer {key.strip()}"
        self.url = url
        self.patience_seconds = patience_seconds

    def close(self) -> None:
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON of the answer, if any. Repeat the request if necessary: it has to be idempotent."""
        return self._repeat(lambda: self.request_once(method, path, **arguments))

    def request_once(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._http.request(method, path, **arguments)
        _warn_of_former_names(response)
        if response.is_error:
            raise error_of(response)
        return response.json() if response.content else None

    def read_health(self) -> Any:
        """Return the JSON of /health/ready, which answers 503 with the same schema. Never repeat the request."""
        return self._http.get("/health/ready").json()

    def events(self, job_id: str, after: int, has_ended: Callable[[], bool]) -> Iterator[EventView | dict[str, Any]]:
        """Yield the events numbered above `after`, and the progress between them as a dict. Reconnect until the job
        `has_ended`."""
        for name, data in self._stream(f"/jobs/{job_id}/events", after, has_ended):
            yield json.loads(data) if name == "progress" else EVENT.validate_json(data)

    def log_lines(self, job_id: str, lines: int, has_ended: Callable[[], bool]) -> Iterator[LogLine]:
        """Yield the newest `lines` and those that follow. Reconnect until the job `has_ended`."""
        for _, data in self._stream(f"/jobs/{job_id}/logs?lines={lines}", None, has_ended):
            yield LogLine.model_validate_json(data)

    def _stream(self, path: str, after: int | None, has_ended: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """Yield the name and the data of each event after the one with this id. Reconnect until the job `has_ended`."""
        failing_since: float | None = None
        while True:
            try:
                for event in self._stream_once(path, after):
                    failing_since = None
                    after = int(event.id) if event.id else after
                    yield event.event, event.data
            except TEMPORARY_ERRORS as error:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self.patience_seconds:
                    raise
                time.sleep(seconds_to_wait(error))
                continue
            if has_ended():
                return

    def download(self, url: str, params: dict[str, str], path: Path) -> tuple[str, str]:
        """Write the file to `path`. Return the sha256 that the API announced, and that of the download."""
        return self._repeat(lambda: self._download(url, params, path))

    def _download(self, url: str, params: dict[str, str], path: Path) -> tuple[str, str]:
        digest = hashlib.sha256()
        with self._http.stream("GET", url, params=params) as response:
            if response.is_error:
                response.read()
                raise error_of(response)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
            return response.headers["etag"].strip('"'), digest.hexdigest()

    def _stream_once(self, path: str, after: int | None) -> Iterator[httpx2.ServerSentEvent]:
        headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})
        with self._http.stream("GET", path, headers=headers) as response:
            if response.is_error:
                response.read()
                raise error_of(response)
            for event in httpx2.EventSource(response):
                if event.data:
                    yield event

    def _repeat(self, request: Callable[[], _Result]) -> _Result:
        deadline = time.monotonic() + self.patience_seconds
        while True:
            try:
                return request()
            except TEMPORARY_ERRORS as error:
                seconds = seconds_to_wait(error)
                if time.monotonic() + seconds > deadline:
                    raise
                time.sleep(seconds)


def seconds_to_wait(error: Exception) -> float:
    """Return after how many seconds a request that failed with one of TEMPORARY_ERRORS is worth another try."""
    return max(RECONNECT_SECONDS, error.retry_after if isinstance(error, ApiUnavailable) else 0.0)


def _warn_of_former_names(response: httpx2.Response) -> None:
    """Issue a FormerNameWarning for the code that called the client if the answer has the header Deprecation."""
    if "deprecation" not in response.headers:
        return
    # response.links does not parse titles with `=`.
    title = re.search(r'rel="deprecation".*title="([^"]*)"', response.headers.get("link", ""))
    message = title[1] if title else f"deprecated since {response.headers['deprecation']}"
    package, stacklevel = __name__.rpartition(".")[0], 1
    while str(sys._getframe(stacklevel - 1).f_globals.get("__name__")).startswith(package):
        stacklevel += 1
    warnings.warn(message, FormerNameWarning, stacklevel=stacklevel)
