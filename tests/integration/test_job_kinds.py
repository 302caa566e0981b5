"""A kind of job is a row in three tables: the API, a worker and its trainer process take it from there."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fastapi.testclient import TestClient

from app.database import Database
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import KINDS, decode_config, kind_of
from app.inputs import kinds as inputs
from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_edgeface
from tests.trainers import toy_kind
from worker import kinds as worker
from worker.supervisor import Supervisor
from worker.trainer_process import train


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(var_dir=tmp_path / "var")
    settings.make_directories()
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service with one kind more."""
    monkeypatch.setitem(KINDS, "toy", toy_kind.KIND)
    monkeypatch.setitem(inputs.INPUTS, cast("type[JobConfig]", toy_kind.ToyConfig), toy_kind.INPUTS)
    monkeypatch.setitem(worker.WORKER_KINDS, "toy", toy_kind.WORKER_KIND)


@pytest.fixture
def api(settings: Settings, toy: None) -> Iterator[TestClient]:  # noqa: ARG001 - create_app reads the table
    with TestClient(create_app(settings)) as client:
        yield client


def run_waiting_jobs(settings: Settings) -> None:
    database = Database(settings.database_url)
    Supervisor(database, settings, multiprocessing.get_context("forkserver"), train).run_waiting_jobs()
    database.close()


def test_a_new_kind_is_submitted_run_listed_and_read(api: TestClient, settings: Settings) -> None:
    refused = api.post("/toys", json={"words": 0})
    assert (refused.status_code, refused.json()["code"]) == (422, "config_invalid"), refused.text
    assert api.post("/toys", json={"letters": 3}).json()["code"] == "request_invalid"
    assert api.post("/toys", json={"edgeface": "none.pt"}).json()["code"] == "weights_not_found"

    headers = {"Idempotency-Key": "monday"}
    submitted = api.post("/toys", json={"words": 2}, headers=headers)
    assert submitted.status_code == 201, submitted.text
    job_id = submitted.json()["id"]
    assert api.post("/toys", json={"words": 2}, headers=headers).json()["id"] == job_id
    assert submitted.json()["warnings"] == [{"code": "toy", "message": "it reads edgeface_xxs.pt"}]

    run_waiting_jobs(settings)
    job = api.get(f"/jobs/{job_id}").json()
    assert (job["kind"], job["status"], job["error"]) == ("toy", "succeeded", None)
    assert job["config"] == {"edgeface": "edgeface_xxs.pt", "words": 2}
    size = (settings.weights_dir / "edgeface_xxs.pt").stat().st_size
    assert {"code": "word_1", "message": f"{size} bytes"} in job["warnings"]
    assert api.get(job["links"]["evaluation"]).json()["verdict"] == job["recognition"]["verdict"]
    assert "pin" not in job["links"]
    assert "is a toy, and makes no checkpoint" in api.get(f"/jobs/{job_id}/checkpoint").json()["detail"]

    for name in ("toy", "toy_of_the_tests"):
        assert [each["id"] for each in api.get("/jobs", params={"kind": name}).json()["jobs"]] == [job_id]
    assert api.get("/jobs").json()["jobs"] == []
    assert api.get("/jobs", params={"kind": "game"}).status_code == 422


def test_the_api_describes_a_new_kind(api: TestClient) -> None:
    schema = api.get("/openapi.json").json()
    body = schema["paths"]["/toys"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/ToyConfig"}
    view = schema["components"]["schemas"]["JobView"]["properties"]
    assert view["kind"]["enum"] == [*KINDS]
    assert body in view["config"]["anyOf"]
    (listed,) = (each for each in schema["paths"]["/jobs"]["get"]["parameters"] if each["name"] == "kind")
    assert "toy" in str(listed["schema"])


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_in_every_table(name: str) -> None:
    kind = kind_of(name)
    assert kind is kind_of(kind.stored)
    assert worker.WORKER_KINDS.keys() == KINDS.keys()
    assert kind.config in inputs.INPUTS
    assert kind.weights.keys() <= kind.config.model_fields.keys()
    assert set(kind.makes.values()) <= kind.checkpoint.keys()
    assert kind.checkpoint or kind.instead_of_checkpoint
    assert kind.evaluated or kind.instead_of_evaluation
    values = {
        "dataset_import": {"name": "faces", "upload": "0" * 24},
        "model_export": {"edgeface": "edgeface_xxs.pt"},
    }.get(name, {"dataset": "faces"})
    assert isinstance(decode_config(kind.stored, values), kind.config)
