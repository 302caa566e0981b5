"""The page for Prometheus: what the rows hold and what the API has answered, with few series whatever happens."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from sqlmodel import col, update

from app.database import Database
from app.finetune.gpus import GpuProblem, GpuReading, GpuReport
from app.finetune.job_kinds import KINDS
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import rounds
from app.main import create_app
from app.monitoring.collector import FRESH_SECONDS
from app.settings import Settings
from tests.integration.conftest import job_that_is, running, train_epoch

GPU = GpuReading(
    index=0,
    uuid="GPU-1",
    name="H200",
    memory_used_bytes=3,
    memory_total_bytes=4,
    utilization_percent=50,
    power_watts=300.5,
    temperature_celsius=61,
)


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(var_dir=tmp_path / "var", database_url=database_url))) as client:
        yield client


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(page: str, name: str, /, **labels: str) -> float:
    return samples(page)[name, frozenset(labels.items())]


def worked(database: Database, job_id: str, seconds: float) -> None:
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(seconds_worked=seconds))


def test_the_rows_are_on_the_page(database: Database, api: TestClient) -> None:
    for state in (JobStatus.QUEUED, JobStatus.QUEUED, JobStatus.PAUSED):
        job_that_is(database, state)
    for seconds in (5.0, 400.0, 400.0, 1e6):
        worked(database, job_that_is(database, JobStatus.SUCCEEDED), seconds)
    held = running(database)
    for epoch in (1, 2):
        train_epoch(database, held, 1, epoch)
    with database.writing() as session:
        waits = update(Job).where(col(Job.status) == JobStatus.QUEUED).values(queued_at=Job.queued_at - 3600)
        session.execute(waits)
    with database.writing() as session:
        for worker in ("worker-1", "worker-2"):  # on one machine: they report the same GPU
            rounds.report_worker(session, worker, "host", GpuReport(gpus=(GPU,)))
        lost = GpuProblem(code="gpu_lost", message="it is lost", hint="restart")
        rounds.report_worker(session, "worker-3", "other", GpuReport(problem=lost))

    page = api.get("/metrics").text
    assert value(page, "edgeface_jobs", kind="finetuning", status="queued") == 2
    assert value(page, "edgeface_jobs", kind="finetuning", status="succeeded") == 4
    assert value(page, "edgeface_jobs", kind="evaluation", status="running") == 0
    assert value(page, "edgeface_queue_depth") == 2
    assert 3600 <= value(page, "edgeface_queue_longest_wait_seconds") < 3700
    duration = "edgeface_job_duration_seconds"
    ended = {"kind": "finetuning", "outcome": "succeeded"}
    buckets = [
        value(page, f"{duration}_bucket", le=le, **ended) for le in ("10.0", "300.0", "900.0", "86400.0", "+Inf")
    ]
    assert buckets == [1, 1, 3, 3, 4]
    assert value(page, f"{duration}_sum", **ended) == 1_000_805
    assert value(page, "edgeface_training_images_per_second", kind="finetuning") == 100
    assert value(page, "edgeface_epochs") == 2
    assert value(page, "edgeface_workers") == 3
    of_gpu = {"host": "host", "gpu": "0", "uuid": "GPU-1", "name": "H200"}
    assert value(page, "edgeface_gpu_memory_used_bytes", **of_gpu) == 3
    assert value(page, "edgeface_gpu_utilization_ratio", **of_gpu) == 0.5
    assert value(page, "edgeface_gpu_temperature_celsius", **of_gpu) == 61
    assert value(page, "edgeface_gpu_problem", host="other") == 1
    assert value(page, "edgeface_gpu_problem", host="host") == 0


@pytest.fixture
def sqlite_api(var_dir: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(var_dir=var_dir))) as client:
        yield client


def test_requests_and_rejections_are_counted(sqlite_api: TestClient) -> None:
    sqlite_api.get("/jobs")
    sqlite_api.head("/jobs")
    for number in range(50):
        sqlite_api.get(f"/jobs/unknown{number}")
        sqlite_api.get(f"/no/such/{number}")
    sqlite_api.request("INVENTED", "/jobs")
    sqlite_api.post("/jobs", json={"dataset": "x", "no_such_field": 1})
    page = sqlite_api.get("/metrics").text
    requests = "edgeface_http_requests_total"
    assert value(page, requests, method="GET", route="/jobs", status="200") == 1
    assert value(page, requests, method="HEAD", route="/jobs", status="200") == 1
    assert value(page, requests, method="GET", route="/jobs/{job_id}", status="404") == 50
    assert value(page, requests, method="GET", route="none", status="404") == 50
    assert value(page, requests, method="OTHER", route="/jobs", status="405") == 1
    assert value(page, "edgeface_rejections_total", code="job_not_found", status="404") == 50
    assert value(page, "edgeface_rejections_total", code="request_invalid", status="422") == 1
    assert value(page, "edgeface_http_request_duration_seconds_count", route="/jobs/{job_id}") == 50
    assert "unknown1" not in page


def test_the_newest_format_is_answered_to_who_asks(sqlite_api: TestClient) -> None:
    assert sqlite_api.get("/metrics").headers["Content-Type"].startswith("text/plain; version=")
    openmetrics = sqlite_api.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")


def test_with_a_broken_database_the_page_says_so_and_counts_the_errors(sqlite_api: TestClient, var_dir: Path) -> None:
    with sqlite3.connect(var_dir / "edgeface.sqlite") as connection:  # the keys stay readable
        connection.execute("DROP TABLE epochmetric")
    connection.close()
    sqlite_api.get("/metrics")  # its counters are written before the rows are read
    page = sqlite_api.get("/metrics").text
    assert value(page, "edgeface_database_up") == 0
    assert sum(count for (name, _), count in samples(page).items() if name == "edgeface_database_errors_total") > 0
    assert "edgeface_queue_depth" not in page


def test_many_scrapes_share_one_read(sqlite_api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.monitoring.collector.FRESH_SECONDS", 3600.0)
    assert FRESH_SECONDS == 2.0
    statements: list[str] = []
    service = sqlite_api.app.state.service  # type: ignore[attr-defined]
    listen: Callable[..., None] = lambda _c, _cursor, statement, *_: statements.append(statement)  # noqa: E731
    event.listen(service.database.engine, "before_cursor_execute", listen)
    sqlite_api.get("/metrics")
    of_one_page = len([each for each in statements if "epochmetric" in each])
    for _ in range(20):
        sqlite_api.get("/metrics")
    assert of_one_page == 1
    assert len([each for each in statements if "epochmetric" in each]) == 1


def test_every_kind_and_state_has_a_series_from_the_start(sqlite_api: TestClient) -> None:
    page = sqlite_api.get("/metrics").text
    for kind in KINDS:
        for status in JobStatus:
            assert value(page, "edgeface_jobs", kind=kind, status=str(status)) == 0
