"""HEAD answers wherever GET does, with the same status and headers, and without a body."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.database import Database
from app.jobs.states import JobStatus
from app.main import create_app
from app.settings import Settings
from tests.support.job_files import JobFiles

CHANGING = {"date", "x-request-id"}


@pytest.fixture(params=["sqlite"])
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    path = tmp_path / "edgeface.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(var_dir=tmp_path / "var", database_url=database_url)
    settings.make_directories()
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def job(database: Database, settings: Settings) -> JobFiles:
    """A job with every file, which still runs."""
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1, backbone_bytes=b"x" * 300_000)
    job.evaluation(1)
    return job


def get_paths(api: TestClient, job_id: str) -> list[str]:
    """Every path that GET answers."""
    schema = api.get("/openapi.json").json()["paths"]
    return [
        *(path.replace("{job_id}", job_id) for path, methods in schema.items() if "get" in methods),
        "/openapi.json",
        "/docs",
        "/redoc",
    ]


def assert_alike(api: TestClient, path: str, headers: dict[str, str] | None = None) -> dict[str, str]:
    changing = {"content-length"} if path == "/metrics" else set()  # it counts the requests
    get, head = api.get(path, headers=headers), api.head(path, headers=headers)
    assert head.content == b""
    assert head.status_code == get.status_code, path
    kept = [
        {name: value for name, value in each.headers.items() if name not in CHANGING | changing} for each in (get, head)
    ]
    assert kept[0] == kept[1], path
    return dict(head.headers)


def test_every_path_of_get_answers_head(api: TestClient, job: JobFiles) -> None:
    job.end(JobStatus.SUCCEEDED)  # no ETA changes between the two requests
    paths = get_paths(api, job.id)
    assert len(paths) > 12
    for path in paths:
        headers = assert_alike(api, path)
        assert int(headers["content-length"]) > 0, path


@pytest.mark.parametrize("path", ["/jobs/0", "/jobs/0/checkpoint", "/jobs/0/events", "/nowhere", "/jobs/{id}/cancel"])
def test_errors_answer_head_too(path: str, api: TestClient, job: JobFiles) -> None:
    headers = assert_alike(api, path.replace("{id}", job.id))
    assert headers["content-type"] == "application/problem+json"


def test_a_download_has_its_size_its_range_and_its_etag(api: TestClient, job: JobFiles) -> None:
    path = f"/jobs/{job.id}/checkpoint?format=backbone"
    headers = assert_alike(api, path)
    assert headers["content-length"] == "300000"
    assert headers["accept-ranges"] == "bytes"
    part = assert_alike(api, path, {"Range": "bytes=10-19"})
    assert (part["content-length"], part["content-range"]) == ("10", "bytes 10-19/300000")
    assert api.head(path, headers={"If-None-Match": headers["etag"]}).status_code == 304


def test_a_stream_of_a_job_that_runs_ends_at_once(api: TestClient, job: JobFiles) -> None:
    answer = api.head(f"/jobs/{job.id}/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    with api.stream("HEAD", "/jobs/0/events", headers={"Accept": "text/event-stream"}) as missing:
        assert missing.status_code == 404


def test_csv_answers_head(api: TestClient, job: JobFiles) -> None:
    assert assert_alike(api, f"/jobs/{job.id}/metrics", {"Accept": "text/csv"})["content-type"].startswith("text/csv")
