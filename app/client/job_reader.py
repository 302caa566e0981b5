"""Methods of `Client` that read a job: its state, its log, its results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.api_models.attempts import Attempts
from app.api_models.comparison import JobComparison
from app.api_models.events import EventView
from app.api_models.job import JobView
from app.api_models.logs import LogLine, LogPage
from app.api_models.metrics import Metrics
from app.client.connection import Connection
from app.client.errors import DownloadDamaged
from app.finetune.artifact_names import formats_of
from app.finetune.atomic import atomic_path
from app.finetune.evaluation import Evaluation


class JobReader:
    """One method for each route."""

    _connection: Connection

    def get(self, job_id: str) -> JobView:
        return self._job("GET", f"/jobs/{job_id}")

    def metrics(self, job_id: str) -> Metrics:
        return Metrics.model_validate(self._connection.request("GET", f"/jobs/{job_id}/metrics"))

    def attempts(self, job_id: str) -> Attempts:
        """Return all attempts of workers at the job, oldest first."""
        return Attempts.model_validate(self._connection.request("GET", f"/jobs/{job_id}/attempts"))

    def events(self, job_id: str, *, after: int = 0) -> Iterator[EventView | dict[str, Any]]:
        """Yield every event when it happens, until the job has ended, and the progress between them as a dict.

        Reconnects after a broken connection and continues with the next event. A pause does not end the events.
        """
        return self._connection.events(job_id, after, lambda: self.get(job_id).terminal)

    def logs(self, job_id: str, *, lines: int = 200, after: int | None = None) -> LogPage:
        """Return the newest lines of the log of the job, or the first ones after the number `after`."""
        params = {"lines": lines} | ({} if after is None else {"after": after})
        return LogPage.model_validate(self._connection.request("GET", f"/jobs/{job_id}/logs", params=params))

    def follow_logs(self, job_id: str, *, lines: int = 200) -> Iterator[LogLine]:
        """Yield the newest lines of the log, and each further one when it is written, until the job has ended.
        Reconnects after a broken connection and continues with the next line."""
        return self._connection.log_lines(job_id, lines, lambda: self.get(job_id).terminal)

    def evaluation(self, job_id: str) -> Evaluation:
        """Return the evaluation of a job. Raises ApiError before the job has succeeded."""
        return Evaluation.model_validate(self._connection.request("GET", f"/jobs/{job_id}/evaluation"))

    def compare(self, job_id: str, other: str) -> JobComparison:
        """Compare the recognition by the results of two jobs. Raises ApiError unless they were evaluated on the same
        people."""
        return JobComparison.model_validate(self._connection.request("GET", f"/jobs/{job_id}/comparisons/{other}"))

    def download(
        self,
        job_id: str,
        path: Path,
        *,
        format: str = "full",  # noqa: A002 - the API's name
        epoch: int | None = None,
    ) -> Path:
        """Write a file of the job to `path`, atomically, after checking its sha256.

        `full`, `backbone` and the other formats of a checkpoint are the best one, or that of `epoch` if it is still
        kept; `evaluation` is the evaluation as JSON, `report` as HTML. Raises ApiError if the job does not have the
        file, DownloadDamaged if the sha256 differs.
        """
        params: dict[str, str] = {}
        if format in formats_of("evaluation"):
            url = f"/jobs/{job_id}/{format}"
        else:
            url = f"/jobs/{job_id}/checkpoint"
            params = {"format": format} | ({} if epoch is None else {"epoch": str(epoch)})
        with atomic_path(path) as partial:
            expected, actual = self._connection.download(url, params, partial)
            if actual != expected:
                raise DownloadDamaged(f"{path}: the sha256 is {actual}, not {expected}; download it again")
        return path

    def _job(self, method: str, path: str, **arguments: Any) -> JobView:
        return JobView.model_validate(self._connection.request(method, path, **arguments))
