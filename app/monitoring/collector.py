"""The rows as Prometheus's metrics. Many readers share one read of the rows."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError

from app.api_models.health import WorkerView
from app.database import Database
from app.finetune.gpus import GpuReading
from app.finetune.job_kinds import KINDS
from app.jobs.states import TERMINAL, JobStatus
from app.monitoring.snapshot import DURATION_SECONDS, JobsOfState, Snapshot, read_snapshot

_Labels = TypeVar("_Labels", bound=tuple[str, ...])

FRESH_SECONDS = 2.0
"""A snapshot is answered for so long."""


class RowsCollector(Collector):
    """Gauges of the jobs, workers and GPUs. `readers` returns the number of event streams of this process."""

    def __init__(self, database: Database, seen_seconds: float, readers: Callable[[], int]) -> None:
        self._database = database
        self._seen_seconds = seen_seconds
        self._readers = readers
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._read_at = float("-inf")

    def collect(self) -> Iterable[Metric]:
        yield _gauge(
            "edgeface_build_info", "The version of the API.", {(version("edgeface-finetune"),): 1}, ("version",)
        )
        yield _gauge("edgeface_sse_readers", "Open event streams of this API process.", {(): self._readers()})
        snapshot = self._fresh_snapshot()
        yield _gauge("edgeface_database_up", "Whether the rows could be read.", {(): snapshot is not None})
        if snapshot is not None:
            yield from _of_jobs(snapshot)
            yield from _of_workers(snapshot.workers)

    def _fresh_snapshot(self) -> Snapshot | None:
        """Return None if the database does not answer."""
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    with self._database.reading() as session:
                        self._snapshot = read_snapshot(session, self._seen_seconds)
                except DBAPIError:
                    self._snapshot = None
                self._read_at = time.monotonic()
            return self._snapshot


def _of_jobs(snapshot: Snapshot) -> Iterable[Metric]:
    # All of them, those without a job too: a series that begins at 1 has no rate.
    counts = {(kind, str(status)): 0 for kind in KINDS for status in JobStatus}
    for each in snapshot.jobs:
        counts[each.kind, each.status] = counts.get((each.kind, each.status), 0) + each.count
    yield _gauge("edgeface_jobs", "Jobs in the database.", counts, ("kind", "status"))
    yield _gauge("edgeface_queue_depth", "Jobs that wait for a worker.", {(): snapshot.queued})
    yield _gauge(
        "edgeface_queue_longest_wait_seconds",
        "How long the job that has waited longest waits. 0: none waits.",
        {(): snapshot.longest_wait_seconds},
    )
    yield _durations([each for each in snapshot.jobs if each.status in TERMINAL])
    yield _gauge(
        "edgeface_training_images_per_second",
        "Images per second of the last epoch, summed over the jobs that run.",
        {(kind,): snapshot.images_per_second.get(kind, 0.0) for kind in KINDS},
        ("kind",),
    )
    yield _gauge("edgeface_epochs", "Epochs of all jobs in the database.", {(): snapshot.epochs})
    checked = {("yes",): snapshot.datasets_checked, ("no",): snapshot.datasets_unchecked}
    yield _gauge("edgeface_datasets", "Registered datasets, by whether they are checked.", checked, ("checked",))


def _durations(ended: list[JobsOfState]) -> Metric:
    durations = HistogramMetricFamily(
        "edgeface_job_duration_seconds",
        "Seconds of work of the jobs that have ended, of all their attempts.",
        labels=("kind", "outcome"),
    )
    for each in ended:
        buckets = [(str(bound), float(n)) for bound, n in zip(DURATION_SECONDS, each.up_to, strict=True)]
        buckets.append(("+Inf", float(each.count)))
        durations.add_metric((each.kind, each.status), buckets, each.seconds_worked)
    return durations


def _of_workers(workers: Iterable[WorkerView]) -> Iterable[Metric]:
    workers = list(workers)
    yield _gauge("edgeface_workers", "Workers that have reported lately.", {(): len(workers)})
    # Workers that share a machine report the same GPUs.
    gpus = {gpu.uuid: (worker.hostname, gpu) for worker in workers for gpu in worker.gpus}
    values: tuple[tuple[str, str, Callable[[GpuReading], float | None]], ...] = (
        ("edgeface_gpu_memory_used_bytes", "Memory in use, by all programs.", lambda gpu: gpu.memory_used_bytes),
        ("edgeface_gpu_memory_total_bytes", "Memory of the GPU.", lambda gpu: gpu.memory_total_bytes),
        (
            "edgeface_gpu_utilization_ratio",
            "Share of the time in which a kernel ran.",
            lambda gpu: None if gpu.utilization_percent is None else gpu.utilization_percent / 100,
        ),
        ("edgeface_gpu_power_watts", "Power.", lambda gpu: gpu.power_watts),
        ("edgeface_gpu_temperature_celsius", "Temperature.", lambda gpu: gpu.temperature_celsius),
    )
    for name, description, value_of in values:
        read = {
            (host, str(gpu.index), gpu.uuid, gpu.name): value
            for host, gpu in gpus.values()
            if (value := value_of(gpu)) is not None
        }
        yield _gauge(name, description, read, ("host", "gpu", "uuid", "name"))
    problems = {(each.hostname,): each.gpu_problem is not None and not each.gpu_problem.absent for each in workers}
    yield _gauge("edgeface_gpu_problem", "Whether a GPU of the worker's machine cannot be used.", problems, ("host",))


def _gauge(
    name: str, description: str, values: Mapping[_Labels, float], labels: tuple[str, ...] = ()
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, description, labels=labels)
    for label_values, value in values.items():
        gauge.add_metric(label_values, float(value))
    return gauge
