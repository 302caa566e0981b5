"""Client: one method for each route of the API."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pydantic import BaseModel

from app.api_models.dry_run import DryRun, EstimateView
from app.api_models.events import StatusEvent
from app.api_models.health import Ready
from app.api_models.job import JobCounts, JobPage, JobView
from app.api_models.job_status import JobStatus
from app.api_models.session import CallerView
from app.api_models.sweeps import SweepView
from app.client.connection import Connection
from app.client.errors import EstimateFailed
from app.client.inputs import InputRequests
from app.client.job_reader import JobReader
from app.client.trying import ModelMethods
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import warn_of
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import (
    DRY_RUN,
    DSR_TRAINING,
    EVALUATION,
    FINETUNING,
    KINDS,
)


class Client(JobReader, InputRequests, ModelMethods):
    """Client of one API. Use it as a context manager.

    Requests except `retry` are repeated for `patience_seconds` while the API is unavailable, answers 503, or 429 with
    Retry-After. After that the last error is raised: httpx2.TransportError, ApiUnavailable or GatewayUnavailable.

    `url` may leave out `http://`, as in `lab:8000`; ValueError if it is no address.

    `key` is the API key, by default that of the environment variable EDGEFACE_KEY. A service without keys needs none.
    """

    def __init__(
        self, url: str, *, key: str | None = None, patience_seconds: float = 60.0, timeout_seconds: float = 120.0
    ) -> None:
        self._connection = Connection(url, key=key, patience_seconds=patience_seconds, timeout_seconds=timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def submit(
        self,
        config: JobConfig | Mapping[str, Any],
        *,
        kind: str = FINETUNING,
        priority: int = 0,
        name: str = "",
        tags: Sequence[str] = (),
        notes: str = "",
        sweep: str | None = None,
        idempotency_key: str | None = None,
    ) -> JobView:
        """Queue a job of the kind, with these labels, in this sweep. Raises ApiError if the service refuses it.

        The request carries an idempotency key, so that repeating it makes one job. Pass your own `idempotency_key` to
        get the same job from several processes.
        """
        labels = {"name": name, "tag": list(tags), "notes": notes, "sweep": sweep}
        params = {"priority": priority} | {field: value for field, value in labels.items() if value}
        if KINDS[kind].dry_run_of:
            params["dry_run"] = "estimate"
        headers = {"Idempotency-Key": str(uuid.uuid4()) if idempotency_key is None else idempotency_key}
        return self._job("POST", KINDS[kind].path, params=params, headers=headers, json=_as_json(config))

    def submit_sweep(
        self,
        name: str,
        config: FinetuneConfig | Mapping[str, Any],
        sweep: Mapping[str, Sequence[Any]],
        *,
        priority: int = 0,
        idempotency_key: str | None = None,
    ) -> SweepView:
        """Queue a fine-tuning for each combination of the values in `sweep`, which `config` leaves out: all or none."""
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        shared = config.model_dump(mode="json", exclude_unset=True) if isinstance(config, BaseModel) else dict(config)
        body = {"name": name, "config": shared, "sweep": {field: list(values) for field, values in sweep.items()}}
        params, headers = {"priority": priority}, {"Idempotency-Key": key}
        return SweepView.model_validate(
            self._connection.request("POST", "/sweeps", params=params, headers=headers, json=body)
        )

    def sweep(self, name: str) -> SweepView:
        """Return the table of a sweep. Raises ApiError if there is none."""
        return SweepView.model_validate(self._connection.request("GET", f"/sweeps/{quote(name, safe='')}"))

    def evaluate(
        self,
        config: EvaluationConfig | Mapping[str, Any],
        **options: Any,
    ) -> JobView:
        """Queue an evaluation, with the options of `submit` except `kind`."""
        return self.submit(config, kind=EVALUATION, **options)

    def train_dsr(
        self,
        config: DsrTrainingConfig | Mapping[str, Any],
        **options: Any,
    ) -> JobView:
        """Queue a DSR training, with the options of `submit` except `kind`. `download` fetches its dsr.pth."""
        return self.submit(config, kind=DSR_TRAINING, **options)

    def dry_run(self, config: FinetuneConfig | Mapping[str, Any]) -> DryRun:
        """Validate the config and return it with its warnings. Nothing is queued."""
        answer = self._connection.request("POST", "/jobs", params={"dry_run": "true"}, json=_as_json(config))
        return DryRun.model_validate(answer)

    def estimate(
        self,
        config: FinetuneConfig | Mapping[str, Any],
        *,
        priority: int = 0,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> EstimateView:
        """Return the time, memory and disk that a fine-tuning would need. A worker makes some steps to find out.

        Waits for the worker; `on_status` is called with each status of the dry run. Ctrl-C cancels it. Raises ApiError
        if the service refuses the config, EstimateFailed if the dry run ends without a result.
        """
        job = self.submit(config, kind=DRY_RUN, priority=priority)
        try:
            on_status(job.waiting_sentence or job.status)
            for event in self.events(job.id):
                if isinstance(event, StatusEvent) and event.number > 1:
                    on_status(event.data.status)
        except KeyboardInterrupt:
            self.cancel(job.id)
            raise
        job = self.get(job.id)
        if job.estimate is None:
            raise EstimateFailed(job)
        return job.estimate

    def measure(
        self,
        config: FinetuneConfig | Mapping[str, Any],
        *,
        priority: int = 0,
        on_status: Callable[[str], None] = lambda _: None,
    ) -> EstimateView:
        """Former name of `estimate`."""
        warn_of("Client.measure", "Client.estimate")
        return self.estimate(config, priority=priority, on_status=on_status)

    def list(
        self,
        statuses: tuple[JobStatus, ...] = (),
        *,
        kind: str | Sequence[str] = FINETUNING,
        tags: Sequence[str] = (),
        text: str = "",
        sort: str = "newest",
        cursor: str | None = None,
        limit: int = 20,
    ) -> JobPage:
        """Return one page of jobs of these kinds (`all`: every kind) with all of these tags, and with `text` in the
        name, a tag, the dataset or the id. `sort` is `newest`, `best` or `longest`."""
        params: dict[str, Any] = _filter(kind, tags, text) | {"status": list(statuses), "limit": limit}
        if sort != "newest":
            params["sort"] = sort
        if cursor is not None:
            params["cursor"] = cursor
        return JobPage.model_validate(self._connection.request("GET", "/jobs", params=params))

    def counts(self, *, kind: str | Sequence[str] = FINETUNING, tags: Sequence[str] = (), text: str = "") -> JobCounts:
        """Return how many of the jobs that `list` finds are in each status."""
        return JobCounts.model_validate(
            self._connection.request("GET", "/jobs/counts", params=_filter(kind, tags, text))
        )

    def cancel(self, job_id: str, *, force: bool = False) -> JobView:
        """Cancel the job. `force` does not wait for its worker, which may be gone."""
        return self._job("POST", f"/jobs/{job_id}/cancel", params={"force": force})

    def pause(self, job_id: str) -> JobView:
        """Pause the job. `resume_point` of the answer is the state that `resume` will load; if the status is `pausing`,
        the worker is still saving it. Raises ApiError for a job that has ended."""
        return self._job("POST", f"/jobs/{job_id}/pause")

    def resume(self, job_id: str) -> JobView:
        """Queue a paused job again. Raises ApiError for other jobs."""
        return self._job("POST", f"/jobs/{job_id}/resume")

    def retry(self, job_id: str, *, from_start: bool = False) -> JobView:
        """Queue a failed or cancelled job again; it resumes from its last saved state or starts from the beginning.

        Raises ApiError for other jobs. The request is never repeated: if its answer were lost, the API would refuse
        the second one.
        """
        params = {"from": "start" if from_start else "state"}
        return JobView.model_validate(self._connection.request_once("POST", f"/jobs/{job_id}/retry", params=params))

    def update(
        self,
        job_id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        shared: bool | None = None,
    ) -> JobView:
        """Change the labels of a job, or whether everybody with the scope `read` may see it. None: unchanged."""
        values = {"name": name, "tags": None if tags is None else list(tags), "notes": notes, "shared": shared}
        changes = {field: value for field, value in values.items() if value is not None}
        return self._job("PATCH", f"/jobs/{job_id}", json=changes)

    def delete(self, job_id: str, *, force: bool = False) -> JobView:
        """Delete a job that has ended, with its files, and return it. Raises ApiError if something needs it, unless
        `force`. The request is never repeated: if its answer were lost, the API would not find the job again."""
        answer = self._connection.request_once("DELETE", f"/jobs/{job_id}", params={"force": force})
        return JobView.model_validate(answer)

    def pin(self, job_id: str) -> JobView:
        """Keep the current best checkpoint, even if a better one follows. Raises ApiError if there is none."""
        return self._job("POST", f"/jobs/{job_id}/pin")

    def unpin(self, job_id: str) -> JobView:
        """Remove all pins of the job."""
        return self._job("DELETE", f"/jobs/{job_id}/pin")

    def ready(self) -> Ready:
        """Return whether a submitted job would run. Raises httpx2.TransportError at once if no API answers."""
        return Ready.model_validate(self._connection.read_health())

    def caller(self) -> CallerView:
        """Return who the requests are made for, with the scopes. The name is the owner of what they make."""
        return CallerView.model_validate(self._connection.request("GET", "/session"))


def _filter(kind: str | Sequence[str], tags: Sequence[str], text: str) -> dict[str, Any]:
    labels = {"tag": list(tags), "q": text}
    return {"kind": kind if isinstance(kind, str) else list(kind)} | {
        name: each for name, each in labels.items() if each
    }


def _as_json(config: JobConfig | Mapping[str, Any]) -> dict[str, Any]:
    return config.model_dump(mode="json") if isinstance(config, BaseModel) else dict(config)
