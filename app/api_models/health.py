"""Health checks."""

from pydantic import BaseModel, Field

from app.finetune.errors import ErrorReport
from app.finetune.gpus import GpuProblem, GpuReading


class Live(BaseModel):
    live: bool = True


class WorkerView(BaseModel):
    """A worker that has reported lately, and the GPUs of its machine."""

    id: str
    hostname: str
    seen_seconds_ago: float
    gpus: list[GpuReading] = Field(description="Those that CUDA shows it: number N is its `cuda:N`.")
    gpu_problem: GpuProblem | None = Field(description="Why there is no GPU, or why one is missing.")
    cuda_version: str | None = Field(description="Newest version of CUDA that its driver supports.")


class Ready(BaseModel):
    ready: bool = Field(description="Whether database, broker and worker are all available.")
    database: bool
    database_problem: ErrorReport | None = Field(None, description="Why the database cannot be used. null: it can.")
    broker: bool
    worker: bool = Field(description="Whether a worker has reported recently.")
    worker_seen_seconds_ago: float | None = Field(description="null: no worker has ever reported.")
    workers: list[WorkerView] = Field(
        [], description="Those that have reported recently, the oldest first. Only for callers with the scope `read`."
    )
    insecure: bool = Field(
        False, description="Whether everybody who reaches the service can do everything: see the option --insecure."
    )
