"""Views of the workers that have reported lately."""

from sqlmodel import Session

from app.api_models.health import WorkerView
from app.finetune.gpus import GpuReport
from app.jobs import queries


def view_workers(session: Session, seen_seconds: float) -> list[WorkerView]:
    """Return the workers that reported in the last `seen_seconds`, in the order of their start."""
    views = []
    for worker, seconds_ago in queries.workers_seen(session, seen_seconds):
        report = worker.gpus or GpuReport()
        views.append(
            WorkerView(
                id=worker.id,
                hostname=worker.hostname,
                seen_seconds_ago=round(seconds_ago, 1),
                gpus=list(report.gpus),
                gpu_problem=report.problem,
                cuda_version=report.cuda_version,
            )
        )
    return views
