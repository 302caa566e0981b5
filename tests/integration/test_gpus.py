"""From a worker's readings of its GPUs to what a person sees of them."""

import itertools
import json
import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from fastapi.testclient import TestClient

from app.cli.live import status_lines
from app.database import Database, alembic_config
from app.finetune.gpus import GpuProblem, GpuReading, GpuReport
from app.jobs import queries
from app.jobs.tables import Attempt, WorkerSeen
from app.jobs.transitions import rounds
from app.jobs.views import view_job
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import submit
from tests.support.command_line import edgeface_finetune
from tests.support.datasets import write_edgeface
from tests.trainers import fixtures
from worker.gpu.monitor import GpuMonitor
from worker.gpu.reader import GpuReader
from worker.supervisor import Supervisor

GIB = 2**30
MISMATCH = GpuProblem(code="driver_mismatch", message="the driver was updated", hint="restart the machine")


def reading(used: int, utilization: int) -> GpuReading:
    return GpuReading(
        index=0,
        uuid="GPU-a",
        name="NVIDIA H200",
        memory_used_bytes=used * GIB,
        memory_total_bytes=140 * GIB,
        utilization_percent=utilization,
        power_watts=612.5,
        temperature_celsius=64,
        driver_version="580.65.06",
    )


REPORTS = [GpuReport(gpus=(reading(used, busy),), cuda_version="13.0") for used, busy in ((3, 100), (12, 90), (5, 50))]


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(var_dir=tmp_path / "var", database_url=database_url, heartbeat_seconds=0.05, stop_seconds=0.1)
    settings.make_directories()
    for half in ("train_processed", "val_processed"):
        (settings.datasets_dir / "faces" / half).mkdir(parents=True)
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


def run_once(
    database: Database, settings: Settings, gpus: Callable[[Supervisor], Callable[[], GpuReport]]
) -> Supervisor:
    """Run the waiting job by a trainer that ends when it is stopped."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.trainers.fixtures"])
    supervisor = Supervisor(database, settings, processes, fixtures.train_until_stopped, lambda: newest())
    newest = gpus(supervisor)
    supervisor.run_waiting_jobs()
    return supervisor


def one_after_another(database: Database, supervisor: Supervisor, job_id: str) -> Callable[[], GpuReport]:
    """The first report that the job does not have yet, whoever calls; when it has all, the worker stops."""

    def newest() -> GpuReport:
        with database.reading() as session:
            attempt = session.get(Attempt, (job_id, 1))
            recorded = 0 if attempt is None or attempt.gpu is None else attempt.gpu.readings
        if recorded == len(REPORTS):
            supervisor.stop()
        return REPORTS[min(recorded, len(REPORTS) - 1)]

    return newest


def once(supervisor: Supervisor, report: GpuReport) -> Callable[[], GpuReport]:
    """One report; when it is asked for again, the worker stops."""
    asked = itertools.count()

    def newest() -> GpuReport:
        if next(asked):
            supervisor.stop()
        return report

    return newest


def test_a_job_shows_its_gpu_and_its_peaks(database: Database, settings: Settings) -> None:
    job_id = submit(database)
    run_once(database, settings, lambda supervisor: one_after_another(database, supervisor, job_id))
    with database.reading() as session:
        job = view_job(session, queries.get(session, job_id), 15.0)
        attempt = session.get_one(Attempt, (job_id, 1))
        kinds = {event.kind for event in queries.events_after(session, job_id, 0)}
    assert job.gpu is not None
    assert job.gpu == attempt.gpu
    assert job.gpu.reading == REPORTS[-1].gpus[0]
    assert (job.gpu.readings, job.gpu.peak_memory_used_bytes, job.gpu.mean_utilization_percent) == (3, 12 * GIB, 80.0)
    assert not any("gpu" in kind for kind in kinds)
    now, summary = [line for line in status_lines(job) if line.startswith("GPU")]
    assert now == "GPU 0, NVIDIA H200: 5.4 GB of 150.3 GB used, 50% busy, 612 W, 64 °C"
    assert summary == (
        "GPU 0, NVIDIA H200: at most 12.9 GB of 150.3 GB used, 80% busy on average, at most 612 W, at most 64 °C"
    )


def test_a_worker_shows_its_gpus(database: Database, settings: Settings) -> None:
    run_once(database, settings, lambda _: lambda: REPORTS[0]).report_alive()
    with database.writing() as session:
        rounds.report_worker(session, "ended-an-hour-ago", "here", REPORTS[1])
        session.get_one(WorkerSeen, "ended-an-hour-ago").seen_at -= 3600
    with TestClient(create_app(settings)) as api:
        (worker,) = api.get("/health/ready").json()["workers"]
    assert worker["gpus"] == [REPORTS[0].gpus[0].model_dump()]
    assert (worker["gpu_problem"], worker["cuda_version"]) == (None, "13.0")
    ended = edgeface_finetune(settings, "doctor")
    assert ended.status == 0
    assert "GPU 0, NVIDIA H200: 3.2 GB of 150.3 GB used" in ended.output
    assert json.loads(edgeface_finetune(settings, "doctor", "--json").output)["workers"][0]["gpus"] == worker["gpus"]


def test_a_gpu_that_cannot_be_read_is_a_finding_with_what_to_do(database: Database, settings: Settings) -> None:
    run_once(database, settings, lambda _: lambda: GpuReport(problem=MISMATCH)).report_alive()
    ended = edgeface_finetune(settings, "doctor")
    assert ended.status == 1
    assert "worker_gpus: worker " in ended.output
    assert "  to do: restart the machine" in ended.output


def test_a_machine_without_a_gpu_says_so_in_plain_words(database: Database, settings: Settings) -> None:
    monitor = GpuMonitor(GpuReader({}))
    monitor.start()
    report = monitor.newest()
    while any(thread.name == "gpus" for thread in threading.enumerate()):
        time.sleep(0.01)  # it ends by itself
    if report.problem is None or report.problem.code != "no_driver":
        pytest.skip("this machine has an NVIDIA driver")
    job_id = submit(database)
    run_once(database, settings, lambda supervisor: once(supervisor, report)).report_alive()
    with database.reading() as session:
        job = view_job(session, queries.get(session, job_id), 15.0)
    assert job.gpu is None
    assert not any("GPU" in line for line in status_lines(job))
    with TestClient(create_app(settings)) as api:
        (worker,) = api.get("/health/ready").json()["workers"]
    assert (worker["gpus"], worker["gpu_problem"]["code"]) == ([], "no_driver")
    ended = edgeface_finetune(settings, "doctor")
    assert ended.status == 0
    assert "no GPU: there is no NVIDIA driver here" in ended.output


def test_the_columns_of_the_gpus_can_be_taken_back(database: Database) -> None:
    with database.engine.execution_options(edgeface_writing=True).begin() as connection:
        command.downgrade(alembic_config(connection), "0006")
        command.upgrade(alembic_config(connection), "head")
