"""Checks of the workers' GPUs, by what the workers reported."""

from collections.abc import Iterator

from app.doctor.findings import Finding, Scope
from app.jobs.worker_views import view_workers


def worker_gpus(scope: Scope) -> Iterator[Finding]:
    """Every worker that runs can read the GPUs of its machine."""
    with scope.snapshot() as session:
        workers = view_workers(session, scope.settings.worker_seen_seconds)
    for worker in workers:
        for problem in (worker.gpu_problem, *(gpu.problem for gpu in worker.gpus)):
            if problem is not None and not problem.absent:
                yield Finding(f"worker {worker.id}: {problem.message}", problem.hint)
