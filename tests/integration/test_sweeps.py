"""Sweeps: a job for each combination, all or none, and one table of their results."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, update

from app.access.scopes import Scope
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.main import create_app
from app.settings import Settings
from tests.integration.test_api import end, publish, refused, run, service
from tests.support.access import bearer, key_of

SWEEP: dict[str, Any] = {
    "name": "rates",
    "config": {"dataset": "faces", "stage2_epochs": 2},
    "sweep": {"backbone_lr": [1e-5, 1e-4], "seed": [1, 2, 3]},
}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"max_queued_jobs": 8}))) as client:
        yield client


def jobs_of(api: TestClient) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = api.get("/jobs?limit=100").json()["jobs"]
    return jobs[::-1]


def test_each_combination_is_a_job(api: TestClient) -> None:
    answer = api.post("/sweeps", json=SWEEP)
    assert answer.status_code == 201, answer.text
    assert api.get(answer.headers["location"]).json() == answer.json()
    jobs = jobs_of(api)
    varied = [(job["config"]["backbone_lr"], job["config"]["seed"]) for job in jobs]
    assert varied == [(rate, seed) for rate in (1e-5, 1e-4) for seed in (1, 2, 3)]
    assert {(job["sweep"], job["config"]["stage2_epochs"], job["status"]) for job in jobs} == {("rates", 2, "queued")}
    assert jobs[0]["name"] == "backbone_lr=1e-05 seed=1"
    assert api.post("/jobs?sweep=rates", json={"dataset": "faces", "backbone_lr": 1e-5}).status_code == 201
    assert api.get("/sweeps/rates").json()["total"] == 7
    refused(api.post("/sweeps", json=SWEEP), 409, "sweep_exists")


def test_the_table_has_a_row_for_each_setting_with_the_spread_over_seeds(api: TestClient, settings: Settings) -> None:
    api.post("/sweeps", json=SWEEP)
    database = service(api).database
    for job, rate in zip(jobs_of(api), (0.5, 0.6, None, 0.8, 0.9, 1.0), strict=True):
        claim = run(database)
        assert claim.job_id == job["id"]
        if rate is None:
            end(database, claim, JobStatus.FAILED)
            continue
        publish(database, settings, claim, b"x")
        end(database, claim, JobStatus.SUCCEEDED)
        columns = {
            f"recognition_{when}": {"tar_at_far_1_percent": of} for when, of in (("before", 0.4), ("after", rate))
        }
        with database.writing() as session:
            session.execute(update(Job).where(col(Job.id) == job["id"]).values(columns))
    table = api.get("/sweeps/rates").json()
    assert table["fields"] == ["backbone_lr"]
    assert (table["by_status"]["succeeded"], table["by_status"]["failed"]) == (5, 1)
    best, other = sorted(table["rows"], key=lambda row: -row["tar_after"]["mean"])
    assert (best["values"], other["values"]) == ({"backbone_lr": 1e-4}, {"backbone_lr": 1e-5})
    assert best["tar_after"] == pytest.approx({"mean": 0.9, "sd": 0.1, "low": 0.8, "high": 1.0, "jobs": 3})
    assert other["tar_after"]["jobs"] == 2
    assert other["tar_before"] == pytest.approx({"mean": 0.4, "sd": 0.0, "low": 0.4, "high": 0.4, "jobs": 2})
    assert [job["seed"] for job in other["jobs"]] == [1, 2, 3]
    assert [job["tar_after"] for job in other["jobs"]] == [0.5, 0.6, None]
    assert best["score"]["mean"] == 0.75


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        (
            {"sweep": {"backbone_lr": [1e-4, -1], "seed": [1, "x"]}},
            "sweep_invalid",
            ["sweep.backbone_lr.1", "sweep.seed.1"],
        ),
        ({"config": {"dataset": "faces", "epochs": 3}}, "sweep_invalid", ["config.epochs"]),
        ({"config": {"dataset": "faces", "seed": 3}}, "sweep_invalid", ["config.seed"]),
        ({"sweep": {"seed": list(range(201))}}, "request_invalid", ["sweep.seed"]),
        ({"sweep": {"seed": list(range(101)), "batch_size": [8, 16]}}, "sweep_too_large", []),
        ({"sweep": {"seed": []}}, "request_invalid", ["sweep.seed"]),
        ({"sweep": {}}, "request_invalid", ["sweep"]),
        ({"name": "a/b"}, "request_invalid", ["name"]),
        ({"sweep": {"dataset": ["faces", "nobody"]}, "config": {}}, "dataset_not_found", ["train_dir"]),
    ],
)
def test_one_wrong_value_queues_none(api: TestClient, changes: dict[str, Any], code: str, fields: list[str]) -> None:
    problem = refused(api.post("/sweeps", json=SWEEP | changes), 422, code)
    assert sorted(error["field"] for error in problem["errors"]) == fields
    assert jobs_of(api) == []
    refused(api.get("/sweeps/rates"), 404, "sweep_not_found")


def test_a_sweep_that_passes_the_limit_of_the_queue_is_refused_whole(api: TestClient) -> None:
    for _ in range(3):
        api.post("/jobs", json={"dataset": "faces"})
    refused(api.post("/sweeps", json=SWEEP), 429, "too_many_queued_jobs")
    assert len(jobs_of(api)) == 3


def test_a_repeated_request_makes_one_sweep(api: TestClient) -> None:
    key = {"Idempotency-Key": "once"}
    first = api.post("/sweeps", json=SWEEP, headers=key)
    again = api.post("/sweeps", json=SWEEP, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert len(jobs_of(api)) == 6
    other = SWEEP | {"config": {"dataset": "faces"}}
    refused(api.post("/sweeps", json=other, headers=key), 422, "idempotency_key_reused")


def test_a_sweep_of_another_is_not_found_and_does_not_take_its_name(api: TestClient) -> None:
    database = service(api).database
    anna, ben = (bearer(key_of(database, name, Scope.SUBMIT)) for name in ("anna", "ben"))
    small = SWEEP | {"sweep": {"seed": [1, 2]}}
    assert api.post("/sweeps", json=small, headers=anna).status_code == 201
    refused(api.get("/sweeps/rates", headers=ben), 404, "sweep_not_found")
    assert api.post("/sweeps", json=small, headers=ben).json()["total"] == 2
