"""The Python client of the API. The command line and the demo are built on it."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

import httpx2

from app.api_models.attempts import Attempts
from app.api_models.dry_run import DryRun, EstimateView
from app.api_models.events import EventView
from app.api_models.health import Ready
from app.api_models.job import JobPage, JobView
from app.api_models.job_status import JobStatus
from app.api_models.metrics import Metrics
from app.api_models.problems import Problem
from app.finetune.atomic import atomic_path
from app.finetune.checkpoint import CheckpointFormat
from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation import Evaluation
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import FINETUNING, MeasuredFile

_Result = TypeVar("_Result")

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


class _GatewayAway(httpx2.HTTPStatusError):
    """A 503 that is not the API's own."""


_MAY_HELP_TO_WAIT = (
    httpx2.NetworkError,
    httpx2.TimeoutException,
    httpx2.RemoteProtocolError,
    httpx2.ProxyError,
    ApiUnavailable,
    _GatewayAway,
)


class MeasurementFailed(Exception):
    """The measurement ended without a result; `job` says why."""

    def __init__(self, job: JobView) -> None:
        why = (
            f"{job.error.message} ({job.error.code})\n  hint: {job.error.hint}" if job.error else f"it is {job.status}"
        )
        super().__init__(f"measurement {job.id} found nothing out: {why}")
        self.job = job


class DownloadDamaged(Exception):
    """What arrived is not the file the API named by its sha256; nothing was written."""


class Client:
    """Talks to one API. Use it as a context manager.

    `patience_seconds`: how long anything that is safe to repeat (all but `retry`) is tried again while the API does not
    answer, or answers 503. After that httpx2.TransportError, ApiUnavailable or httpx2.HTTPStatusError is raised.
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

    def submit(
        self,
        config: FinetuneConfig | Mapping[str, Any],
        *,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Queue a job. Raises ApiError where the service refuses it.

        However often the request has to be sent, one job is made: a key of its own goes with it. Give your own
        `idempotency_key` to get the same job from another process too.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4()) if idempotency_key is None else idempotency_key}
        arguments = {"params": {"priority": priority}, "headers": headers, "json": _as_json(config)}
        return JobView.model_validate(self._send("POST", "/jobs", **arguments))

    def evaluate(
        self,
        config: EvaluationConfig | Mapping[str, Any],
        *,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Queue an evaluation; the same promises as `submit`."""
        headers = {"Idempotency-Key": str(uuid.uuid4()) if idempotency_key is None else idempotency_key}
        arguments = {"params": {"priority": priority}, "headers": headers, "json": _as_json(config)}
        return JobView.model_validate(self._send("POST", "/evaluations", **arguments))

    def train_dsr(
        self,
        config: DsrTrainingConfig | Mapping[str, Any],
        *,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Queue the training of a DSR network; the same promises as `submit`. `download` then has dsr.pth."""
        headers = {"Idempotency-Key": str(uuid.uuid4()) if idempotency_key is None else idempotency_key}
        arguments = {"params": {"priority": priority}, "headers": headers, "json": _as_json(config)}
        return JobView.model_validate(self._send("POST", "/dsr-trainings", **arguments))

    def evaluation(self, job_id: str) -> Evaluation:
        """What was measured. Raises ApiError before the job has succeeded."""
        return Evaluation.model_validate(self._send("GET", f"/jobs/{job_id}/evaluation"))

    def dry_run(self, config: FinetuneConfig | Mapping[str, Any]) -> DryRun:
        """The config as resolved and the warnings; nothing is queued."""
        return DryRun.model_validate(self._send("POST", "/jobs", params={"dry_run": True}, json=_as_json(config)))

    def measure(
        self,
        config: FinetuneConfig | Mapping[str, Any],
        *,
        priority: int = 0,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> EstimateView:
        """What the job would take: seconds, memory, disk. Waits until a worker has had its turn at it and made some
        steps; `on_status` hears what it waits for. Given up (Ctrl-C), it is cancelled.

        Raises ApiError where the service refuses the config, MeasurementFailed where nothing was found out.
        """
        params = {"dry_run": "measure", "priority": priority}
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        sent = self._send("POST", "/jobs", params=params, headers=headers, json=_as_json(config))
        job = JobView.model_validate(sent)
        try:
            on_status(job.waiting_for or job.status)
            for event in self.events(job.id):
                if isinstance(event, EventView) and event.kind == "status" and event.number > 1:
                    on_status(event.data["status"])
        except KeyboardInterrupt:
            self.cancel(job.id)
            raise
        job = self.get(job.id)
        if job.measured is None:
            raise MeasurementFailed(job)
        return job.measured

    def get(self, job_id: str) -> JobView:
        return JobView.model_validate(self._send("GET", f"/jobs/{job_id}"))

    def list(
        self,
        statuses: tuple[JobStatus, ...] = (),
        *,
        kind: str = FINETUNING,
        cursor: str | None = None,
        limit: int = 20,
    ) -> JobPage:
        """One page of jobs of one kind, newest first."""
        params: dict[str, Any] = {"status": list(statuses), "kind": kind, "limit": limit}
        return JobPage.model_validate(
            self._send("GET", "/jobs", params=params | ({} if cursor is None else {"cursor": cursor}))
        )

    def metrics(self, job_id: str) -> Metrics:
        return Metrics.model_validate(self._send("GET", f"/jobs/{job_id}/metrics"))

    def attempts(self, job_id: str) -> Attempts:
        """Every claim of the job by a worker, the first one first."""
        return Attempts.model_validate(self._send("GET", f"/jobs/{job_id}/attempts"))

    def cancel(self, job_id: str, *, force: bool = False) -> JobView:
        """Ask the job to stop; with `force` write it down as cancelled at once, for when its worker is gone."""
        return JobView.model_validate(self._send("POST", f"/jobs/{job_id}/cancel", params={"force": force}))

    def pause(self, job_id: str) -> JobView:
        """Stop the job so that it can go on later: `resume_point` of the answer survives. Where the status is still
        `pausing`, it is being saved. Raises ApiError for a job that has ended."""
        return JobView.model_validate(self._send("POST", f"/jobs/{job_id}/pause"))

    def resume(self, job_id: str) -> JobView:
        """Queue a paused job again. Raises ApiError for one that is not paused."""
        return JobView.model_validate(self._send("POST", f"/jobs/{job_id}/resume"))

    def retry(self, job_id: str, *, from_start: bool = False) -> JobView:
        """Queue a failed or cancelled job again, from its last saved state or from the start. Raises ApiError for
        another. Sent once: repeated after an answer that was lost, it would be refused as done already."""
        params = {"from": "start" if from_start else "state"}
        return JobView.model_validate(_answer(self._http.post(f"/jobs/{job_id}/retry", params=params)))

    def pin(self, job_id: str) -> JobView:
        """Keep the best checkpoint of now, whatever better one comes. Raises ApiError while there is none."""
        return JobView.model_validate(self._send("POST", f"/jobs/{job_id}/pin"))

    def unpin(self, job_id: str) -> JobView:
        """Take all pins of the job away."""
        return JobView.model_validate(self._send("DELETE", f"/jobs/{job_id}/pin"))

    def ready(self) -> Ready:
        """Raises httpx2.TransportError at once where no API answers."""
        return Ready.model_validate(self._http.get("/health/ready").json())

    def events(self, job_id: str, *, after: int = 0) -> Iterator[EventView | dict[str, Any]]:
        """Every event as it happens, until the job has ended; between them the progress, as a plain dict.

        Goes on where it was after a broken connection, and over pauses.
        """
        failing_since: float | None = None
        while True:
            try:
                for event in self._stream(job_id, after):
                    failing_since = None
                    if isinstance(event, EventView):
                        after = event.number
                    yield event
            except _MAY_HELP_TO_WAIT:
                failing_since = failing_since or time.monotonic()
                if time.monotonic() - failing_since > self._patience_seconds:
                    raise
                time.sleep(RECONNECT_SECONDS)
                continue
            if self.get(job_id).terminal:
                return

    def download(
        self,
        job_id: str,
        path: Path,
        *,
        format: CheckpointFormat | MeasuredFile = "full",  # noqa: A002 - the API's name
        epoch: int | None = None,
    ) -> Path:
        """Write the best checkpoint, that of an epoch of stage 2 which is still kept, or what was measured
        (`evaluation`: JSON, `report`: HTML) to `path`, which appears only once it is whole and its sha256 is right.

        Raises ApiError while there is none, DownloadDamaged where the sha256 is another.
        """
        params: dict[str, str] = {}
        if format in get_args(MeasuredFile):
            url = f"/jobs/{job_id}/{format}"
        else:
            url = f"/jobs/{job_id}/checkpoint"
            params = {"format": format} | ({} if epoch is None else {"epoch": str(epoch)})
        with atomic_path(path) as partial:
            expected, actual = self._patiently(lambda: self._download(url, params, partial))
            if actual != expected:
                raise DownloadDamaged(f"{path}: the sha256 is {actual}, not {expected}; download it again")
        return path

    def _download(self, url: str, params: dict[str, str], path: Path) -> tuple[str, str]:
        """The sha256 that the API names, and the one of what arrived."""
        digest = hashlib.sha256()
        with self._http.stream("GET", url, params=params) as response:
            if response.is_error:
                response.read()
                raise _problem(response)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
            return response.headers["etag"].strip('"'), digest.hexdigest()

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
        """The answer's JSON. For what is safe to repeat."""
        return self._patiently(lambda: _answer(self._http.request(method, path, **arguments)))

    def _patiently(self, ask: Callable[[], _Result]) -> _Result:
        give_up = time.monotonic() + self._patience_seconds
        while True:
            try:
                return ask()
            except _MAY_HELP_TO_WAIT:
                if time.monotonic() + RECONNECT_SECONDS > give_up:
                    raise
                time.sleep(RECONNECT_SECONDS)


def _answer(response: httpx2.Response) -> Any:
    if response.is_error:
        raise _problem(response)
    return response.json()


def _as_json(config: JobConfig | Mapping[str, Any]) -> dict[str, Any]:
    return config.model_dump(mode="json") if isinstance(config, JobConfig) else dict(config)


def _problem(response: httpx2.Response) -> Exception:
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = Problem.model_validate(response.json())
        return ApiUnavailable(problem) if response.status_code == 503 else ApiError(problem)
    kind = _GatewayAway if response.status_code == 503 else httpx2.HTTPStatusError
    return kind(f"{response.request.url} answered {response.status_code}", request=response.request, response=response)
