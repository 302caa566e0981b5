"""The Python client of the API. The command line and the demo are built on it."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import httpx2

from app.finetune.config import FinetuneConfig
from app.jobs.states import JobStatus
from app.jobs.views import EventView, JobPage, JobView
from app.problems import Problem
from app.routes.health import Ready
from app.routes.jobs import DryRun
from app.routes.metrics import Metrics

Format = Literal["full", "backbone"]

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

RECONNECT_SECONDS = 1.0
"""Between tries, while the API does not answer."""


class ApiError(Exception):
    """The API answered with a problem; `problem` has its code, hint and blame."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.detail} ({problem.code})\n  hint: {problem.hint}")
        self.problem = problem


class ApiUnavailable(ApiError):
    """The API answered that it cannot answer now (503): trying again later may help."""


class DownloadDamaged(Exception):
    """What arrived is not the file the API named by its sha256; nothing was written."""


class Client:
    """Talks to one API. Use it as a context manager.

    `patience_seconds`: how long an event stream goes on trying while the API does not answer.
    """

    def __init__(self, url: str, *, patience_seconds: float = 60.0, timeout_seconds: float = 120.0) -> None:
        # A company's proxy does not reach this machine.
        through_proxy = httpx2.URL(url).host not in _THIS_MACHINE
        timeout = httpx2.Timeout(timeout_seconds, connect=5.0)
        self._http = httpx2.Client(base_url=url, timeout=timeout, trust_env=through_proxy)
        self._patience_seconds = patience_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, config: FinetuneConfig | Mapping[str, Any]) -> JobView:
        """Queue a job. Raises ApiError where the service refuses it."""
        return JobView.model_validate(self._send("POST", "/jobs", json=_as_json(config)))

    def dry_run(self, config: FinetuneConfig | Mapping[str, Any]) -> DryRun:
        """The config as resolved and the warnings; nothing is queued."""
        return DryRun.model_validate(self._send("POST", "/jobs", params={"dry_run": True}, json=_as_json(config)))

    def get(self, job_id: str) -> JobView:
        return JobView.model_validate(self._send("GET", f"/jobs/{job_id}"))

    def list(self, statuses: tuple[JobStatus, ...] = (), *, cursor: str | None = None, limit: int = 20) -> JobPage:
        """One page of jobs, newest first."""
        params: dict[str, Any] = {"status": list(statuses), "limit": limit}
        return JobPage.model_validate(
            self._send("GET", "/jobs", params=params | ({} if cursor is None else {"cursor": cursor}))
        )

    def metrics(self, job_id: str) -> Metrics:
        return Metrics.model_validate(self._send("GET", f"/jobs/{job_id}/metrics"))

    def cancel(self, job_id: str) -> JobView:
        """Ask the job to stop; safe to repeat."""
        return JobView.model_validate(self._send("POST", f"/jobs/{job_id}/cancel"))

    def ready(self) -> Ready:
        """Raises httpx2.TransportError where no API answers."""
        return Ready.model_validate(self._http.get("/health/ready").json())

    def events(self, job_id: str, *, after: int = 0) -> Iterator[EventView | dict[str, Any]]:
        """Every event as it happens, until the job has ended; between them the progress, as a plain dict.

        Goes on where it was after a broken connection. Raises httpx2.TransportError once the API has not answered for
        `patience_seconds`.
        """
        failing_since: float | None = None
        while True:
            try:
                for event in self._stream(job_id, after):
                    failing_since = None
                    if isinstance(event, EventView):
                        after = event.number
                    yield event
                if self.get(job_id).terminal:
                    return
                failing_since = None
            except (httpx2.TransportError, ApiUnavailable):
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self._patience_seconds:
                    raise
                time.sleep(RECONNECT_SECONDS)

    def download(self, job_id: str, path: Path, *, format: Format = "full") -> Path:  # noqa: A002 - the API's name
        """Write the checkpoint to `path`, which appears only once it is whole and its sha256 is right.

        Raises ApiError while there is none, DownloadDamaged where the sha256 is another.
        """
        aside = path.with_name(path.name + ".part")
        digest = hashlib.sha256()
        with self._http.stream("GET", f"/jobs/{job_id}/checkpoint", params={"format": format}) as response:
            if response.is_error:
                response.read()
                raise _problem(response)
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
            expected = response.headers["etag"].strip('"')
        if digest.hexdigest() != expected:
            aside.unlink()
            raise DownloadDamaged(f"{path}: the sha256 is {digest.hexdigest()}, not {expected}; download it again")
        return aside.replace(path)

    def _stream(self, job_id: str, after: int) -> Iterator[EventView | dict[str, Any]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._http.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
            if response.is_error:
                response.read()
                raise _problem(response)
            for event in httpx2.EventSource(response):
                if event.event == "progress":
                    yield json.loads(event.data)
                elif event.data:
                    yield EventView.model_validate_json(event.data)

    def _send(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._http.request(method, path, **arguments)
        if response.is_error:
            raise _problem(response)
        return response.json()


def _as_json(config: FinetuneConfig | Mapping[str, Any]) -> dict[str, Any]:
    return config.model_dump(mode="json") if isinstance(config, FinetuneConfig) else dict(config)


def _problem(response: httpx2.Response) -> Exception:
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = Problem.model_validate(response.json())
        return ApiUnavailable(problem) if response.status_code == 503 else ApiError(problem)
    return httpx2.HTTPStatusError(
        f"{response.request.url} answered {response.status_code}", request=response.request, response=response
    )
