"""POST /evaluations: what is refused, what is queued, and that it is a job like any other."""

import shutil
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def test_an_evaluation_is_queued_with_its_config_as_resolved(api: TestClient) -> None:
    answer = api.post("/evaluations", json={"dataset": "faces", "before": "edgeface_xxs.pt"})
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["kind"], job["status"]) == ("evaluation", "queued")
    assert job["config"]["eval_dir"] == "faces/val_processed"
    assert (job["config"]["dsr"], job["config"]["threshold"], job["config"]["tta"]) == ("bicubic", 0.35, False)
    assert api.get(f"/jobs/{job['id']}").json()["config"] == job["config"]


def test_a_dataset_with_a_test_part_is_evaluated_on_it(api: TestClient, settings: Settings) -> None:
    shutil.copytree(settings.datasets_dir / "faces/val_processed", settings.datasets_dir / "faces/test_processed")
    assert api.post("/evaluations", json={"dataset": "faces"}).json()["config"]["eval_dir"] == "faces/test_processed"
    named = {"dataset": "faces", "eval_dir": "faces/val_processed"}
    assert api.post("/evaluations", json=named).json()["config"]["eval_dir"] == "faces/val_processed"


def test_both_kinds_stand_in_one_queue(api: TestClient) -> None:
    first = api.post("/jobs", json={"dataset": "faces"}).json()
    second = api.post("/evaluations", json={"dataset": "faces"}).json()
    trainings, evaluations = (api.get("/jobs", params=params).json()["jobs"] for params in ({}, {"kind": "evaluation"}))
    assert [(job["id"], job["kind"]) for job in trainings] == [(first["id"], "finetuning")]
    assert [(job["id"], job["kind"]) for job in evaluations] == [(second["id"], "evaluation")]
    assert [job["queue_position"] for job in (*trainings, *evaluations)] == [1, 2]
    assert api.post(f"/jobs/{second['id']}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"dataset": "nowhere"}, "dataset_not_found"),
        ({"dataset": "faces", "edgeface": "other.pt"}, "weights_not_found"),
        ({"dataset": "faces", "before": "other.pt"}, "weights_not_found"),
        ({"dataset": "faces", "dsr": "../dsr.pth"}, "path_outside_roots"),
        ({"dataset": "faces", "stage2_epochs": 5}, "request_invalid"),
        ({"dataset": "faces", "threshold": 2}, "request_invalid"),
        ({}, "request_invalid"),
    ],
)
def test_what_cannot_work_is_refused_at_once(api: TestClient, fields: dict[str, object], code: str) -> None:
    answer = api.post("/evaluations", json=fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == code
    assert answer.json()["hint"]


def test_people_that_cannot_be_compared_are_refused(api: TestClient, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "alone", val_subjects=1)
    assert api.post("/evaluations", json={"dataset": "alone"}).json()["code"] == "eval_not_comparable"


def test_the_same_key_makes_one_evaluation_and_no_training(api: TestClient) -> None:
    headers = {"Idempotency-Key": "Monday"}
    first = api.post("/evaluations", json={"dataset": "faces"}, headers=headers)
    again = api.post("/evaluations", json={"dataset": "faces"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert api.post("/jobs", json={"dataset": "faces"}, headers=headers).status_code == 422


def test_an_evaluation_has_no_checkpoint_and_says_what_it_has(api: TestClient) -> None:
    job_id = api.post("/evaluations", json={"dataset": "faces"}).json()["id"]
    for answer in (api.get(f"/jobs/{job_id}/checkpoint"), api.post(f"/jobs/{job_id}/pin")):
        assert answer.status_code == 409
        assert answer.json()["code"] in ("checkpoint_not_ready", "nothing_to_pin")
        assert "is an evaluation, and makes no checkpoint" in answer.json()["detail"]
        assert "/evaluation" in answer.json()["hint"]
        assert "yet" not in answer.json()["detail"]
