"""ONNX files of jobs: written by a real trainer process, listed, downloaded, and kept as long as the checkpoint."""

import multiprocessing
from collections.abc import Iterator

import onnxruntime
import pytest
from fastapi.testclient import TestClient

from app.database import Database
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.leftovers import find_leftovers
from app.main import create_app
from app.settings import Settings
from tests.support.job_files import JobFiles, write_old
from worker.supervisor import Supervisor
from worker.trainer_process import train


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database_url)
    yield database
    database.close()


def run_waiting_jobs(database: Database, settings: Settings) -> None:
    Supervisor(database, settings, multiprocessing.get_context("forkserver"), train).run_waiting_jobs()


def test_a_job_exports_weights_and_serves_the_file(api: TestClient, database: Database, settings: Settings) -> None:
    assert api.post("/model-exports", json={"edgeface": "none.pt"}).json()["code"] == "weights_not_found"
    submitted = api.post("/model-exports", json={"edgeface": "edgeface_xxs.pt"})
    assert submitted.status_code == 201, submitted.text
    path = submitted.headers["location"]
    waiting = api.get(f"{path}/checkpoint", params={"format": "onnx"})
    assert (waiting.status_code, waiting.json()["code"]) == (409, "not_exported")

    run_waiting_jobs(database, settings)
    job = api.get(path).json()
    assert (job["status"], job["error"]) == ("succeeded", None)
    (file,) = job["files"]
    assert (file["content"], file["kind"]) == ("onnx", "best")
    content = api.get(file["url"]).content
    assert len(content) == file["size"]
    metadata = onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map
    assert (metadata["job"], metadata["weights"]) == (job["id"], "edgeface_xxs.pt")
    assert metadata["weights_sha256"] == job["facts"]["weights_sha256"]
    events = api.get(f"{path}/events").json()["events"]
    (exported,) = (event["data"] for event in events if event["kind"] == "exported")
    assert exported["file"]["sha256"] == file["sha256"]
    assert exported["worst_cosine"] > 0.999999


def test_the_file_of_a_training_is_downloaded_and_expires_with_its_checkpoint(
    api: TestClient, database: Database, settings: Settings
) -> None:
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1)
    path = job.export(1)
    job.end(JobStatus.SUCCEEDED, days_ago=3)
    assert api.get(f"/jobs/{job.id}/checkpoint", params={"format": "onnx"}).content == b"onnx"
    clean_job(database, settings.artifacts_dir, job.id, Retention(states=0.0, checkpoints=None))
    assert path.exists()
    clean_job(database, settings.artifacts_dir, job.id, Retention(states=0.0, checkpoints=86_400.0))
    assert not path.exists()


def test_a_training_without_the_file_says_how_to_get_one(
    api: TestClient, database: Database, settings: Settings
) -> None:
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1)
    job.end(JobStatus.SUCCEEDED)
    answer = api.get(f"/jobs/{job.id}/checkpoint", params={"format": "onnx"})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_exported")
    assert f"job:{job.id}" in answer.json()["hint"]


def test_a_file_that_a_killed_attempt_left_is_a_leftover(database: Database, settings: Settings) -> None:
    job = JobFiles(database, settings.artifacts_dir)
    job.end(JobStatus.FAILED)
    left = settings.artifacts_dir / job.id / "attempt-1" / "edgeface.onnx"
    write_old(left, b"half")
    assert find_leftovers(database, settings.artifacts_dir).files == [left]
