"""An export format is a row of the table of formats and its name in the kinds that write it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.database import Database
from app.finetune.artifact_names import FORMATS, Format
from app.finetune.job_kinds import DSR_TRAINING, FINETUNING, KINDS
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.leftovers import find_leftovers
from app.main import create_app
from app.settings import Settings
from tests.support.job_files import JobFiles, write_old


@pytest.fixture(autouse=True)
def toy_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "toy", Format("toy", "checkpoint", "backbone.toy", "the backbone as a toy"))
    monkeypatch.setitem(KINDS[FINETUNING].checkpoint, "toy", "backbone.toy")


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
    return JobFiles(database, settings.artifacts_dir)


def test_it_is_listed_downloaded_and_described(api: TestClient, job: JobFiles) -> None:
    job.checkpoint(1)
    shown = api.get(f"/jobs/{job.id}").json()
    export = shown["checkpoint"]["exports"]["toy"]
    assert api.get(export["url"]).content == b"toy 1"
    assert api.get(export["url"]).headers["etag"] == f'"{export["sha256"]}"'
    (listed,) = (file for file in shown["files"] if file["content"] == "toy")
    assert (listed["kind"], api.get(listed["url"]).content) == ("best", b"toy 1")
    operation: dict[str, Any] = api.get("/openapi.json").json()["paths"]["/jobs/{job_id}/checkpoint"]["get"]
    (parameter,) = (each for each in operation["parameters"] if each["name"] == "format")
    assert parameter["schema"]["enum"] == ["full", "backbone", "onnx", "toy"]


def test_it_is_deleted_with_its_checkpoint_and_as_a_leftover(job: JobFiles, settings: Settings) -> None:
    (*_, first), (*_, second) = job.checkpoint(1), job.checkpoint(2)
    clean_job(job.database, job.artifacts_dir, job.id, Retention(states=float("inf"), checkpoints=None))
    assert (first.exists(), second.exists()) == (False, True)
    job.end(JobStatus.FAILED)
    left = write_old(first, b"written by a process that was killed")
    assert find_leftovers(job.database, settings.artifacts_dir).files == [left]


def test_a_kind_that_does_not_write_it_says_so(api: TestClient) -> None:
    assert "toy" not in KINDS[DSR_TRAINING].checkpoint
    assert api.get("/jobs/0/checkpoint?format=doll").status_code == 422
    assert api.get("/jobs/0/checkpoint?format=toy").json()["code"] == "job_not_found"
