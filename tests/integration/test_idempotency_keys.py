"""A request that is repeated with its Idempotency-Key finds its job, also after an upgrade of the service."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.database import Database
from app.finetune.config import FinetuneConfig
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import FINETUNING, KINDS, decode_config
from app.inputs.dataset_checks import CheckedInputs
from app.jobs.errors import IdempotencyKeyReused
from app.jobs.search import find_jobs
from app.jobs.tables import Job
from app.jobs.transitions import submission
from app.main import create_app
from app.settings import Settings
from app.submission import submit_once
from tests.support.datasets import write_dataset, write_edgeface

KEY = "monday"
STORED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "stored/requests_of_version_0_1.json").read_text())
"""Requests, and what version 0.1 stored of them: the kind, the config and the digest of all its fields."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    settings = Settings(var_dir=tmp_path / "var")
    settings.make_directories()
    database = Database(settings.database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def api(database: Database, tmp_path: Path) -> Iterator[TestClient]:  # noqa: ARG001 - it is migrated
    settings = Settings(var_dir=tmp_path / "var")
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    with TestClient(create_app(settings)) as client:
        yield client


def store(database: Database, stored: dict[str, Any]) -> str:
    """A row as version 0.1 wrote it."""
    with database.writing() as session:
        config = decode_config(stored["kind"], stored["config"])
        job = submission.submit(session, config, [], priority=stored["priority"], idempotency_key=KEY)
        columns = {name: stored[name] for name in ("kind", "config", "request_digest")}
        session.get_one(Job, job.id).sqlmodel_update(columns)
        return job.id


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: f"{stored['kind']}-{len(stored['body'])}")
def test_a_request_to_version_0_1_finds_its_job(database: Database, api: TestClient, stored: dict[str, Any]) -> None:
    job_id = store(database, stored)
    headers, params = {"Idempotency-Key": KEY}, stored["params"]
    again = api.post(stored["path"], params=params, json=stored["body"], headers=headers)
    assert (again.json().get("id"), again.headers.get("idempotency-replayed")) == (job_id, "true"), again.text
    for changed, body in (
        ({"priority": 9}, stored["body"]),
        ({}, {**stored["body"], "device": "cuda"}),
    ):
        other = api.post(stored["path"], params={**params, **changed}, json=body, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_a_row_without_the_fields_that_came_later_is_of_the_same_request(database: Database, api: TestClient) -> None:
    stored = STORED[0]
    later = ("recipe", "allowed_leaks", "warmup", "keep", "interpolation", "contrastive_temperature")
    old = {name: value for name, value in stored["config"].items() if name not in later}
    job_id = store(database, {**stored, "config": old, "request_digest": "0" * 64})
    again = api.post("/jobs", json=stored["body"], headers={"Idempotency-Key": KEY})
    assert again.json().get("id") == job_id, again.text


def test_an_evaluation_is_the_same_request_once_its_dataset_has_a_test_part(
    database: Database, api: TestClient, tmp_path: Path
) -> None:
    stored = next(each for each in STORED if each["kind"] == "evaluation")
    job_id = store(database, stored)
    datasets = Settings(var_dir=tmp_path / "var").datasets_dir
    (datasets / "faces/val_processed").rename(datasets / "faces/test_processed")
    again = api.post("/evaluations", json=stored["body"], headers={"Idempotency-Key": KEY})
    assert again.json().get("id") == job_id, again.text


class WithANewField(FinetuneConfig):
    """The config of a later version, which may set the new field by a recipe too."""

    ema_decay: float = 0.0


class WithAnotherDefault(FinetuneConfig):
    stage2_epochs: int = 30


@pytest.mark.parametrize("later", [WithANewField, WithAnotherDefault])
@pytest.mark.parametrize("recipe", ["guide", "recommended"])
def test_an_upgrade_changes_no_request(
    database: Database, monkeypatch: pytest.MonkeyPatch, later: type[JobConfig], recipe: str
) -> None:
    request = {"dataset": "faces", "recipe": recipe, "seed": 7}
    first, replayed = submit(database, FinetuneConfig.model_validate(request))
    assert not replayed
    monkeypatch.setitem(KINDS, FINETUNING, replace(KINDS[FINETUNING], config=later))
    assert submit(database, later.model_validate(request)) == (first, True)
    with pytest.raises(IdempotencyKeyReused):
        submit(database, later.model_validate({**request, "seed": 8}))


def test_a_new_field_that_is_set_makes_another_request(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(database, FinetuneConfig.model_validate({"dataset": "faces"}))
    monkeypatch.setitem(KINDS, FINETUNING, replace(KINDS[FINETUNING], config=WithANewField))
    with pytest.raises(IdempotencyKeyReused):
        submit(database, WithANewField.model_validate({"dataset": "faces", "ema_decay": 0.5}))
    with database.reading() as session:
        assert len(find_jobs(session, limit=10).jobs) == 1


def submit(database: Database, config: JobConfig) -> tuple[str, bool]:
    checked = CheckedInputs([])
    job, replayed = submit_once(
        database, config, lambda: checked, priority=0, idempotency_key=KEY, worker_seen_seconds=60.0, most_queued=1000
    )
    return job.id, replayed
