"""The errors that the client raises, besides those of httpx2.

Exception
├── ApiError                       the API answered with a problem
│   └── ApiUnavailable             503, or 429 with Retry-After: it may succeed later
├── EstimateFailed                 a dry run ended without a result
├── ExportFailed                   the job that makes the ONNX file of a model failed
├── DownloadDamaged                the download's sha256 differs
├── UploadUnreadable               what is to be sent cannot be read, or changed meanwhile
└── httpx2.HTTPStatusError         an error that is not the API's own, such as a proxy's
    └── GatewayUnavailable         503: it may succeed later
"""

from pathlib import Path

import httpx2

from app.api_models.job import JobView
from app.api_models.problems import Problem
from app.finetune.errors import printable


class ApiError(Exception):
    """The API answered with a problem. `problem` has its code, hint and blame."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.detail} ({problem.code})\n  hint: {problem.hint}")
        self.problem = problem


class ApiUnavailable(ApiError):
    """The API answered 503, such as when its database is unavailable, or 429 to too many requests. `retry_after` is the
    number of seconds after which it wants the request again."""

    def __init__(self, problem: Problem, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class GatewayUnavailable(httpx2.HTTPStatusError):
    """A proxy or load balancer answered 503 in place of the API."""


class EstimateFailed(Exception):
    """The dry run ended without a result. `job` has its status and error."""

    def __init__(self, job: JobView) -> None:
        reason = (
            f"{job.error.message} ({job.error.code})\n  hint: {job.error.hint}" if job.error else f"it is {job.status}"
        )
        super().__init__(f"dry run {job.id} has no result: {reason}")
        self.job = job


MeasurementFailed = EstimateFailed
"""Former name; works until 0.4.0."""


class ExportFailed(Exception):
    """The job that makes the ONNX file of a model ended without one. `job` has its status and error."""

    def __init__(self, job: JobView) -> None:
        reason = f"{job.error.message}\n  hint: {job.error.hint}" if job.error else f"it is {job.status}"
        super().__init__(f"job {job.id} made no ONNX file: {reason}")
        self.job = job


class DownloadDamaged(Exception):
    """The sha256 of the download is not the one that the API announced. No file was written."""


class UploadUnreadable(Exception):
    """A file or folder cannot be sent: it cannot be read, or it changed meanwhile."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{printable(message)}\n  hint: {hint}")

    @classmethod
    def because(cls, path: Path, error: OSError) -> "UploadUnreadable":
        return cls(f"{path} cannot be read: {error.strerror}", "check the name, and who may read it")


def error_of(response: httpx2.Response) -> Exception:
    """Return the exception for an error response, whose body has been read."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = Problem.model_validate(response.json())
        retry_after = response.headers.get("retry-after", "")
        if response.status_code == 503 or (response.status_code == 429 and retry_after):
            return ApiUnavailable(problem, float(retry_after) if retry_after.isdigit() else 0.0)
        return ApiError(problem)
    kind = GatewayUnavailable if response.status_code == 503 else httpx2.HTTPStatusError
    return kind(f"{response.request.url} answered {response.status_code}", request=response.request, response=response)
